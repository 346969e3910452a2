"""The FSQ paper's table 2: what the bottleneck, codebook splitting and context are worth.

uvim-fsq experiment depth --preset quickstart
"""

TITLE = "bottlenecks and context"
ROWS = ("fsq", "vq", "vq_no_split", "fsq_no_context", "vq_no_context")


def get_rows(get_config):
    """The rows of the table by name; `get_config(variant)` gives a row's settings."""
    return {variant: get_config(variant) for variant in ROWS}
