"""Variants of a configuration: FSQ, VQ and VQ without splitting, with and without context.

The FSQ paper's table 2 has them with context (VQ without splitting for depth alone), and FSQ and VQ
without context for panoptic segmentation.
"""

import math

from uvim_fsq.errors import nearest
from uvim_fsq.settings import ConfigError, FSQConfig, RunConfig, VQConfig, replace


def _vq(config: RunConfig, splitting: bool = True) -> RunConfig:
    """VQ at the power of two nearest to the FSQ codebook, with codewords as wide as a token."""
    assert isinstance(config.quantizer, FSQConfig)
    size = 2 ** round(math.log2(math.prod(config.quantizer.levels)))
    width = config.stage1.model.width
    vq = VQConfig(codebook_size=size, code_dim=width, splitting=splitting)
    return replace(config, quantizer=vq)


def _without_context(config: RunConfig) -> RunConfig:
    """Neither side of the autoencoder sees the image, as in the FSQ paper (section 5.3)."""
    sides = dict(encoder_context=False, decoder_context=False)
    return replace(config, stage1__model=replace(config.stage1.model, **sides))


VARIANTS = {
    "fsq": lambda config: config,
    "vq": _vq,
    "vq_no_split": lambda config: _vq(config, splitting=False),
    "fsq_no_context": _without_context,
    "vq_no_context": lambda config: _without_context(_vq(config)),
    "vq_no_split_no_context": lambda config: _without_context(
        _vq(config, splitting=False)
    ),
}
"""Functions of a configuration with FSQ and contexts, by the variant's name."""

ABOUT = {
    "fsq": "finite scalar quantization",
    "vq": "vector quantization, unused codewords replaced (splitting), as in UViM",
    "vq_no_split": "vector quantization without splitting",
    "fsq_no_context": "fsq, where stage I does not see the image",
    "vq_no_context": "vq, where stage I does not see the image",
    "vq_no_split_no_context": "vq_no_split, where stage I does not see the image",
}
"""What a variant is, in a phrase, for `--help`."""


def pick(table: dict, name: str, what: str):
    """The entry of a table by name, or a ConfigError that offers the nearest names."""
    if name in table:
        return table[name]
    raise ConfigError(f"there is no {what} {name!r}: {nearest(name, list(table))}")
