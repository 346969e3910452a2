"""`codebook_size` in about an hour on two cores: fewer steps, the fewest at the large sizes.

uvim-fsq experiment depth --preset quickstart --study codebook_size_short --seeds 1

The heads of large codebooks cost most of a step. Rows of 2^14 and 2^16 are trained for less long, so
that they tell what usage and cost do, not how good such codebooks could be.
"""

from uvim_fsq.configs.studies import codebook_size
from uvim_fsq.settings import replace

TITLE = "codebook sizes, fewer steps at large sizes"
STEPS = {14: (1000, 500), 16: (600, 300)}
"""Of stage I and of stage II by the power of two."""
OTHERS = (1500, 800)


def get_rows(get_config):
    """The rows of `codebook_size`."""
    rows = {}
    for name, config in codebook_size.get_rows(get_config).items():
        steps = STEPS.get(int(name.rpartition("^")[2]), OTHERS)
        rows[name] = replace(
            config,
            # A quarter of the patches: 660 pictures/s on a core instead of 250.
            stage1__model__patch_size=(8, 8),
            stage1__steps=steps[0],
            stage1__warmup_steps=100,
            stage2__steps=steps[1],
            stage2__warmup_steps=50,
            output__evaluate_every=100,
            output__checkpoint_every=100,
        )
    return rows
