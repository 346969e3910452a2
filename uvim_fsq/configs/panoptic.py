"""Panoptic segmentation: every pixel's class, and which object it belongs to.

    uvim-fsq train configs/panoptic.py --preset quickstart --variant fsq
    uvim-fsq train configs/panoptic.py --preset folder --data.path FOLDER
    uvim-fsq train configs/panoptic.py --preset single_gpu --data.data-dir TFDS

preset      data                     hardware      time         PQ (greedy; docs/results.md)
tiny        16 scenes, 16 px         2 cores       seconds      not a score (for tests)
quickstart  16,000 scenes, 32 px     2 cores       9 min        15.8 (most frequent class: 7.3)
midsize     16,000 scenes, 128 px    2 cores       not yet run
folder      COCO format, 64 px       2 cores       minutes      no score on record
small       COCO 2017, 256 px        a 24 GB GPU   [2 days]     not yet run
single_gpu  COCO 2017, 512 px        an 80 GB GPU  [6 days]     not yet run (FSQ paper: 43.2; VQ 43.4)
paper       COCO 2017, 512 px        accelerators  -            not yet run (as single_gpu)

[Arithmetic, not measured: operations of both stages at 50 (small) and 400 TFLOP/s.]
"""

from uvim_fsq.configs import base
from uvim_fsq.configs.base import with_task
from uvim_fsq.configs.variants import VARIANTS, pick
from uvim_fsq.settings import CocoConfig, PanopticConfig, RunConfig, TfdsConfig

_SCENES = PanopticConfig(classes=17 + 1)
_COCO = PanopticConfig(classes=133 + 1, instances=100)
_PUBLISHED = dict(
    data=TfdsConfig(
        "coco/2017_panoptic",
        train_split="train[4096:]",
        validation_split="train[:4096]",
    ),
    stage1__epochs=1000.0,
    stage1__optimizer__learning_rate=4e-4,
    stage1__optimizer__weight_decay=4e-5,
    stage2__epochs=200.0,
)
_SHORTER = _PUBLISHED | dict(stage1__epochs=200.0, stage2__epochs=100.0)
PRESETS = {
    "tiny": with_task(base.TINY, _SCENES, task__instances=12),
    "quickstart": with_task(
        base.QUICKSTART, _SCENES, task__instances=32, stage1__steps=3000
    ),
    "midsize": with_task(base.MIDSIZE, _SCENES, task__instances=64),
    "folder": with_task(base.FOLDER, PanopticConfig(instances=50), data=CocoConfig()),
    "small": with_task(base.SMALL, _COCO, **_SHORTER),
    "single_gpu": with_task(base.SINGLE_GPU, _COCO, **_PUBLISHED),
    "paper": with_task(base.PAPER, _COCO, **_PUBLISHED),
}


def get_config(variant: str = "fsq", preset: str = "quickstart") -> RunConfig:
    """The settings of a preset in a variant, before overrides from the command line."""
    return pick(VARIANTS, variant, "variant")(pick(PRESETS, preset, "preset"))
