"""Codebooks of 2^4 to 2^16 codewords: score, usage and cost of FSQ and of VQ with and without splitting.

uvim-fsq experiment depth --preset quickstart --study codebook_size --seeds 1
"""

from uvim_fsq.settings import replace

TITLE = "codebook sizes"
LEVELS = {
    4: (5, 3),  # Levels of at least 5 do not come near 2^4.
    6: (8, 8),
    8: (8, 6, 5),
    10: (8, 5, 5, 5),
    12: (7, 5, 5, 5, 5),
    14: (8, 8, 8, 6, 5),
    16: (8, 8, 8, 5, 5, 5),
}
"""FSQ's levels by the power of two: those of the paper from 2^8 on."""


def get_rows(get_config):
    """Rows such as `fsq_2^8`, `vq_2^8` and `vq_no_split_2^8`."""
    rows = {}
    for power, levels in LEVELS.items():
        rows[f"fsq_2^{power}"] = replace(get_config("fsq"), quantizer__levels=levels)
        for variant in ("vq", "vq_no_split"):
            rows[f"{variant}_2^{power}"] = replace(
                get_config(variant), quantizer__codebook_size=2**power
            )
    return rows
