"""Panoptic segmentation: every pixel's class, and which object it belongs to.

    uvim-fsq train configs/panoptic.py --preset quickstart --variant fsq
    uvim-fsq train configs/panoptic.py --preset folder --data.path FOLDER

preset      data                     hardware      time         PQ (greedy; docs/results.md)
tiny        16 scenes, 16 px         2 cores       seconds      not a score (for tests)
quickstart  16,000 scenes, 32 px     2 cores       6 min        16.7 (most frequent class: 7.3)
midsize     16,000 scenes, 128 px    2 cores       not yet run
folder      COCO format, 64 px       2 cores       28 min       79.8, 59 pictures by heart (changed, see there)
paper       COCO 2017, 512 px        accelerators  not yet run  (FSQ paper: 43.2)
"""

from configs import base
from configs.variants import VARIANTS, pick
from uvim_fsq.config import (
    CocoConfig,
    PanopticConfig,
    RunConfig,
    ScenesConfig,
    TfdsConfig,
    replace,
)


def _scenes(config, px, instances, levels, *counts) -> RunConfig:
    task = PanopticConfig((px, px), 17 + 1, instances, crop_area=(1.0, 1.0))
    data = ScenesConfig((px, px), *counts)
    return replace(config, task=task, data=data, quantizer__levels=levels)


_FOLDER = PanopticConfig((64, 64), instances=50, crop_area=(0.4, 1.0))
_PAPER = PanopticConfig((512, 512), classes=133 + 1, instances=100)
_COCO = TfdsConfig(
    "coco/2017_panoptic",
    train_split="train[4096:]",
    validation_split="train[:4096]",
    test_split="validation",
)
_STAGE1 = dict(
    stage1__epochs=1000.0,
    stage1__optimizer__learning_rate=4e-4,
    stage1__optimizer__weight_decay=4e-5,
)
PRESETS = {
    "tiny": _scenes(base.TINY, 16, 12, (5, 5), 16, 8),
    "quickstart": replace(
        _scenes(base.QUICKSTART, 32, 32, (8, 6, 5)), stage1__steps=3000
    ),
    "midsize": _scenes(base.MIDSIZE, 128, 64, (8, 8, 8)),
    "folder": replace(
        base.FOLDER, task=_FOLDER, data=CocoConfig(), quantizer__levels=(8, 6, 5)
    ),
    "paper": replace(
        base.PUBLISHED, task=_PAPER, data=_COCO, **_STAGE1, stage2__epochs=200.0
    ),
}


def get_config(variant: str = "fsq", preset: str = "quickstart") -> RunConfig:
    """The settings of a preset in a variant, before overrides from the command line."""
    return pick(VARIANTS, variant, "variant")(pick(PRESETS, preset, "preset"))
