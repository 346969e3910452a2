"""What the configuration files share: of each preset, all that does not depend on the task.

The presets here are the depth task's; `with_task` makes them another's. `configs/depth.py` shows the
commands, `docs/settings.md` compares the presets.
"""

from uvim_fsq.settings import ModelConfig, RunConfig, ScenesConfig, TaskConfig, replace

# ViTs of "How to train your ViT?" (arXiv 2106.10270), ImageNet-21k: what UViM started from.
_VIT_L16 = "gs://vit_models/augreg/L_16-i21k-300ep-lr_0.001-aug_strong1-wd_0.1-do_0.0-sd_0.0.npz"
_VIT_B16 = "gs://vit_models/augreg/B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0.npz"
_PRETRAINED = ("patches/.*", "encoder_positions/.*", "encoder/.*")

# As published, at 512 px; each task adds its data, its passes over them and stage I's rate.
PAPER = replace(
    RunConfig(checkpoint="last"),
    stage1__batch_size=1024,
    stage2__batch_size=512,
    stage2__pretrained_encoder=_VIT_L16,
    stage2__optimizer__weight_decay=1e-6,
    stage2__optimizer__clip_norm=0.0,
    stage2__optimizer__multipliers=tuple((p, 0.1) for p in _PRETRAINED),
)

# The same training on one device of 80 GB: 64 and 32 images at a time.
SINGLE_GPU = replace(
    PAPER,
    stage1__model__dtype="bfloat16",
    stage1__micro_batches=16,
    stage2__model__dtype="bfloat16",
    stage2__micro_batches=16,
)

# Half the side, as many patches to an index, a base model for stage II; each task trains for less
# long. The learning rates stay: Adafactor's steps do not grow with the gradient, and UViM's own
# settings for one machine keep them at batches of 128 and 32.
SMALL = replace(
    SINGLE_GPU,
    task__image_size=(256, 256),
    stage1__model__code_length=64,
    stage1__batch_size=256,
    stage1__micro_batches=4,
    stage2__model=ModelConfig(encoder_depth=12, dtype="bfloat16"),
    stage2__pretrained_encoder=_VIT_B16,
    stage2__batch_size=256,
    stage2__micro_batches=4,
)


def _from_scratch(
    width, heads, layers, patch, code_length, levels, batch_size, steps, warmup_steps
) -> RunConfig:
    """FSQ and two small stages of the same size; `steps` of stage I and of stage II."""
    both = dict(
        model__width=width,
        model__num_heads=heads,
        model__mlp_width=4 * width,
        model__encoder_depth=layers,
        model__decoder_depth=layers,
        model__patch_size=(patch, patch),
        batch_size=batch_size,
        warmup_steps=warmup_steps,
    )
    config = replace(
        RunConfig(), stage1__model__code_length=code_length, quantizer__levels=levels
    )
    stage1 = replace(config.stage1, **both, steps=steps[0])
    stage2 = replace(config.stage2, **both, steps=steps[1])
    return replace(config, stage1=stage1, stage2=stage2)


def _on_scenes(config: RunConfig, px: int, *counts: int) -> RunConfig:
    """On built-in scenes, whole: they are endless, and crops make depth ambiguous."""
    task = dict(task__image_size=(px, px), task__crop_area=(1.0, 1.0))
    return replace(config, **task, data=ScenesConfig((px, px), *counts))


# width, heads, layers, patch, code length, levels, batch, steps of both stages, warm-up
TINY = _on_scenes(_from_scratch(32, 2, 1, 8, 4, (5, 5), 4, (4, 4), 1), 16, 16, 8)
QUICKSTART = replace(
    _on_scenes(_from_scratch(96, 3, 2, 8, 16, (8, 6, 5), 32, (2000, 2500), 200), 32),
    stage1__model__patch_size=(4, 4),  # Patches of 8 of 32 px show as blocks.
    output__evaluate_every=250,
)
MIDSIZE = _on_scenes(
    _from_scratch(192, 3, 6, 16, 64, (8, 8, 8), 8, (20_000, 20_000), 1000), 128
)
FOLDER = replace(
    _from_scratch(128, 4, 4, 8, 16, (8, 6, 5), 16, (4000, 3000), 400),
    task__image_size=(64, 64),
    task__crop_area=(0.4, 1.0),
)

ABOUT = {
    "tiny": "16 built-in scenes of 16 px, seconds on two cores; for tests",
    "quickstart": "built-in scenes of 32 px, minutes on two cores",
    "midsize": "built-in scenes of 128 px, on two cores",
    "folder": "your own data, --data.path FOLDER, at 64 px (depth: 48 x 64), from scratch",
    "small": "NYU, COCO or ImageNet at 256 px, on a GPU of 24 GB",
    "single_gpu": "the published training at 512 px, on a GPU of 80 GB",
    "paper": "the published training at 512 px, on accelerators",
}
"""What a preset is, in a phrase, for `--help`."""


def with_task(preset: RunConfig, task: TaskConfig, **changes) -> RunConfig:
    """A preset for another task, at the same picture size and crops, and with changes."""
    same = dict(image_size=preset.task.image_size, crop_area=preset.task.crop_area)
    return replace(preset, task=replace(task, **same), **changes)
