"""Depth estimation: metres from a colour image.

    uvim-fsq train configs/depth.py --preset quickstart --variant fsq
    uvim-fsq train configs/depth.py --preset folder --data.path FOLDER

preset      data                       hardware      time         RMSE, m (greedy; docs/results.md)
tiny        16 scenes, 16 px           2 cores       seconds      not a score (for tests)
quickstart  16,000 scenes, 32 px       2 cores       4 min        0.627 (per-pixel mean 1.013)
midsize     16,000 scenes, 128 px      2 cores       not yet run
folder      RGB-D frames, 48 x 64 px   2 cores       under 40 min 1.446 on 696 NYU frames (mean 1.134)
paper       NYU Depth v2, 512 px       accelerators  not yet run  (FSQ paper: 0.473)
"""

from configs import base
from configs.variants import VARIANTS, pick
from uvim_fsq.config import (
    FolderConfig,
    RunConfig,
    ScenesConfig,
    TfdsConfig,
    replace,
)


def _depth(config, size, bins, levels, data, **changes) -> RunConfig:
    changes |= dict(task__image_size=size, task__bins=bins, quantizer__levels=levels)
    return replace(config, data=data, **changes)


def _scenes(config, px, bins, levels, *counts) -> RunConfig:
    whole = dict(
        task__crop_area=(1.0, 1.0)
    )  # Crops make depth ambiguous; scenes are endless.
    return _depth(
        config, (px, px), bins, levels, ScenesConfig((px, px), *counts), **whole
    )


_CROPS = dict(task__crop_area=(0.4, 1.0))
_PAPER = dict(task__crop="uvim", stage1__epochs=200.0, stage2__epochs=50.0)
PRESETS = {
    "tiny": _scenes(base.TINY, 16, 16, (5, 5), 16, 8),
    "quickstart": _scenes(base.QUICKSTART, 32, 64, (8, 6, 5)),
    "midsize": _scenes(base.MIDSIZE, 128, 134 + 100, (8, 8, 8)),
    "folder": _depth(base.FOLDER, (48, 64), 128, (8, 6, 5), FolderConfig(), **_CROPS),
    "paper": replace(base.PUBLISHED, data=TfdsConfig("nyu_depth_v2"), **_PAPER),
}


def get_config(variant: str = "fsq", preset: str = "quickstart") -> RunConfig:
    """The settings of a preset in a variant, before overrides from the command line."""
    return pick(VARIANTS, variant, "variant")(pick(PRESETS, preset, "preset"))
