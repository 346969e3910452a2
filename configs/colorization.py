"""Colorization: the colours of a grey picture.

    uvim-fsq train configs/colorization.py --preset quickstart --variant fsq
    uvim-fsq train configs/colorization.py --preset folder --data.path FOLDER

preset      data                     hardware      time         score (docs/results.md)
tiny        16 scenes, 16 px         2 cores       seconds      not a score (for tests)
quickstart  16,000 scenes, 32 px     2 cores       4 min        PSNR 26.6 dB (grey: 24.0)
midsize     16,000 scenes, 128 px    2 cores       not yet run
folder      pictures, 64 px          2 cores       14 min       PSNR 24.1 dB (grey: 23.3; 245 pictures, fewer steps)
paper       ImageNet, 512 px         accelerators  not yet run  (FSQ paper: FID-5k 17.55)
"""

from configs import base
from configs.variants import VARIANTS, pick
from uvim_fsq.config import (
    ColorizationConfig,
    PicturesConfig,
    RunConfig,
    ScenesConfig,
    TfdsConfig,
    replace,
)


def _scenes(config, px, levels, *counts) -> RunConfig:
    task = ColorizationConfig((px, px), crop_area=(1.0, 1.0))
    data = ScenesConfig((px, px), *counts)
    return replace(config, task=task, data=data, quantizer__levels=levels)


_FOLDER = ColorizationConfig((64, 64), crop_area=(0.4, 1.0))
_IMAGENET = TfdsConfig(
    "imagenet2012",
    train_split="train[4096:]",
    validation_split="train[:4096]",
    test_split="validation",
)
_STAGE1 = dict(
    stage1__epochs=100.0,
    stage1__optimizer__learning_rate=4e-4,
    stage1__optimizer__weight_decay=4e-5,
)
PRESETS = {
    "tiny": _scenes(base.TINY, 16, (5, 5), 16, 8),
    "quickstart": _scenes(base.QUICKSTART, 32, (8, 6, 5)),
    "midsize": _scenes(base.MIDSIZE, 128, (8, 8, 8)),
    "folder": replace(
        base.FOLDER, task=_FOLDER, data=PicturesConfig(), quantizer__levels=(8, 6, 5)
    ),
    "paper": replace(
        base.PUBLISHED,
        task=ColorizationConfig(),
        data=_IMAGENET,
        **_STAGE1,
        stage2__epochs=50.0,
    ),
}


def get_config(variant: str = "fsq", preset: str = "quickstart") -> RunConfig:
    """The settings of a preset in a variant, before overrides from the command line."""
    return pick(VARIANTS, variant, "variant")(pick(PRESETS, preset, "preset"))
