"""FSQ codebooks of about 2^8 codewords from few channels of many levels to many channels of few.

uvim-fsq experiment depth --preset quickstart --study levels --seeds 1
"""

from uvim_fsq.settings import replace

TITLE = "levels per channel"
LEVELS = ((16, 16), (8, 6, 5), (4,) * 4, (3,) * 5, (2,) * 8)


def get_rows(get_config):
    """Rows such as `fsq_8-6-5`."""
    return {
        f"fsq_{'-'.join(map(str, levels))}": replace(
            get_config("fsq"), quantizer__levels=levels
        )
        for levels in LEVELS
    }
