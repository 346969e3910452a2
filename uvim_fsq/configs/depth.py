"""Depth estimation: metres from a colour image.

    uvim-fsq train configs/depth.py --preset quickstart --variant fsq
    uvim-fsq train configs/depth.py --preset folder --data.path FOLDER
    uvim-fsq train configs/depth.py --preset single_gpu --data.data-dir TFDS

preset      data                       hardware      time         RMSE, m (greedy; docs/results.md)
tiny        16 scenes, 16 px           2 cores       seconds      not a score (for tests)
quickstart  16,000 scenes, 32 px       2 cores       10 min       0.629 (per-pixel mean 1.013)
midsize     16,000 scenes, 128 px      2 cores       not yet run
folder      RGB-D frames, 48 x 64 px   2 cores       under 40 min 1.446 on 696 NYU frames (constant 1.236)
small       NYU Depth v2, 256 px       a 24 GB GPU   [11 h]       not yet run
single_gpu  NYU Depth v2, 512 px       an 80 GB GPU  [14 h]       not yet run (FSQ paper: 0.473; VQ 0.468)
paper       NYU Depth v2, 512 px       accelerators  -            not yet run (as single_gpu)

[Arithmetic, not measured: operations of both stages at 50 (small) and 400 TFLOP/s.]
"""

from uvim_fsq.configs import base
from uvim_fsq.configs.variants import VARIANTS, pick
from uvim_fsq.settings import FolderConfig, RunConfig, TfdsConfig, replace

_NYU = dict(
    data=TfdsConfig("nyu_depth_v2"),
    task__crop="uvim",
    stage1__epochs=200.0,
    stage2__epochs=50.0,
)
PRESETS = {
    "tiny": replace(base.TINY, task__bins=16),
    "quickstart": replace(base.QUICKSTART, task__bins=64),
    "midsize": replace(base.MIDSIZE, task__bins=134 + 100),
    "folder": replace(
        base.FOLDER, data=FolderConfig(), task__image_size=(48, 64), task__bins=128
    ),
    "small": replace(base.SMALL, **_NYU | dict(stage1__epochs=100.0)),
    "single_gpu": replace(base.SINGLE_GPU, **_NYU),
    "paper": replace(base.PAPER, **_NYU),
}


def get_config(variant: str = "fsq", preset: str = "quickstart") -> RunConfig:
    """The settings of a preset in a variant, before overrides from the command line."""
    return pick(VARIANTS, variant, "variant")(pick(PRESETS, preset, "preset"))
