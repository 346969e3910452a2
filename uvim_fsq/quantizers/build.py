"""Quantizers by the size of their codebook."""

from uvim_fsq.quantizers.fsq import recommended_levels, search_levels
from uvim_fsq.settings.run import ConfigError, FSQConfig, RunConfig, VQConfig, replace


def with_codebook_size(config: RunConfig, size: int) -> RunConfig:
    """The settings with a codebook of `size`, for FSQ the nearest product of levels from 5 to 8.

    FSQ takes the levels of the paper's table for the sizes that are in it. Raises ConfigError for
    a size that the quantizer cannot have.
    """
    if isinstance(config.quantizer, VQConfig):
        return replace(config, quantizer__codebook_size=size)
    if not isinstance(config.quantizer, FSQConfig):
        raise ConfigError(
            f"the {config.quantizer.kind} quantizer has no codebook size."
        )
    try:
        levels = recommended_levels(size)
    except ValueError:
        try:
            levels = search_levels(size)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    return replace(config, quantizer__levels=levels)
