"""Colorization: the colours of a grey picture.

    uvim-fsq train configs/colorization.py --preset quickstart --variant fsq
    uvim-fsq train configs/colorization.py --preset folder --data.path FOLDER
    uvim-fsq train configs/colorization.py --preset single_gpu --data.data-dir TFDS

preset      data                     hardware      time         score (docs/results.md)
tiny        16 scenes, 16 px         2 cores       seconds      not a score (for tests)
quickstart  16,000 scenes, 32 px     2 cores       8 min        PSNR 26.7 dB (grey: 24.0)
midsize     16,000 scenes, 128 px    2 cores       not yet run
folder      pictures, 64 px          2 cores       minutes      no score on record
small       ImageNet, 256 px         a 24 GB GPU   [3 days]     not yet run
single_gpu  ImageNet, 512 px         an 80 GB GPU  [10 days]    not yet run (FSQ paper: FID-5k 17.55; VQ 16.90)
paper       ImageNet, 512 px         accelerators  -            not yet run (as single_gpu)

[Arithmetic, not measured: operations of both stages at 50 (small) and 400 TFLOP/s.]
"""

from uvim_fsq.configs import base
from uvim_fsq.configs.base import with_task
from uvim_fsq.configs.variants import VARIANTS, pick
from uvim_fsq.settings import ColorizationConfig, PicturesConfig, RunConfig, TfdsConfig

_COLOR = ColorizationConfig()
_PUBLISHED = dict(
    data=TfdsConfig(
        "imagenet2012", train_split="train[4096:]", validation_split="train[:4096]"
    ),
    stage1__epochs=100.0,
    stage1__optimizer__learning_rate=4e-4,
    stage1__optimizer__weight_decay=4e-5,
    stage2__epochs=50.0,
)
_SHORTER = _PUBLISHED | dict(stage1__epochs=20.0, stage2__epochs=20.0)
PRESETS = {
    "tiny": with_task(base.TINY, _COLOR),
    "quickstart": with_task(base.QUICKSTART, _COLOR),
    "midsize": with_task(base.MIDSIZE, _COLOR),
    "folder": with_task(base.FOLDER, _COLOR, data=PicturesConfig()),
    "small": with_task(base.SMALL, _COLOR, **_SHORTER),
    "single_gpu": with_task(base.SINGLE_GPU, _COLOR, **_PUBLISHED),
    "paper": with_task(base.PAPER, _COLOR, **_PUBLISHED),
}


def get_config(variant: str = "fsq", preset: str = "quickstart") -> RunConfig:
    """The settings of a preset in a variant, before overrides from the command line."""
    return pick(VARIANTS, variant, "variant")(pick(PRESETS, preset, "preset"))
