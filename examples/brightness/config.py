"""Brightness of every pixel, with a binary bottleneck, on the built-in scenes."""

from brightness.settings import BinaryConfig, BrightnessConfig

from uvim_fsq.configs import base
from uvim_fsq.configs.variants import pick
from uvim_fsq.settings import replace

PRESETS = {
    "tiny": base.with_task(base.TINY, BrightnessConfig()),
    "quickstart": base.with_task(base.QUICKSTART, BrightnessConfig()),
}
VARIANTS = {
    "fsq": lambda config: config,
    "binary": lambda config: replace(config, quantizer=BinaryConfig(code_dim=8)),
}


def get_config(variant="binary", preset="quickstart"):
    """The settings of a preset in a variant."""
    return pick(VARIANTS, variant, "variant")(pick(PRESETS, preset, "preset"))
