"""What the configuration files share: UViM's published settings, and smaller ones.

A configuration file gives `get_config(variant, preset)`; `configs/depth.py` shows the commands.
"""

from uvim_fsq.config import OptimizerConfig, RunConfig, replace

# At 512 px; each task sets its passes over the data. Stage II starts from a ViT-L, so its
# encoder learns at a tenth of the rate.
_PRETRAINED = ("patches/.*", "encoder_positions/.*", "encoder/.*")
PUBLISHED = replace(
    RunConfig(),
    stage1__batch_size=1024,
    stage2__batch_size=512,
    stage2__optimizer__weight_decay=1e-6,
    stage2__optimizer__clip_norm=0.0,
    stage2__optimizer__multipliers=tuple((p, 0.1) for p in _PRETRAINED),
)


def _small(width, heads, layers, patch, code, batch, steps, warmup) -> RunConfig:
    """Both stages with small transformers, from scratch; `steps` of stage I and stage II."""
    stages = {}
    for name, count in zip(("stage1", "stage2"), steps, strict=True):
        model = getattr(PUBLISHED, name).model
        model = replace(model, width=width, mlp_width=4 * width, num_heads=heads)
        model = replace(model, encoder_depth=layers, decoder_depth=layers)
        model = replace(model, patch_size=(patch, patch))
        stage = replace(getattr(PUBLISHED, name), model=model, batch_size=batch)
        stage = replace(stage, steps=count, warmup_steps=warmup)
        stages[name] = replace(stage, optimizer=OptimizerConfig())
    return replace(PUBLISHED, **stages, stage1__model__code_length=code)


# width, heads, layers, patch, code length, batch, steps of both stages, warm-up
TINY = _small(32, 2, 1, 8, 4, 4, (4, 4), 1)
QUICKSTART = replace(
    _small(96, 3, 2, 8, 16, 32, (2000, 2500), 200),
    stage1__model__patch_size=(4, 4),  # Patches of 8 of 32 px show as blocks.
)
MIDSIZE = _small(192, 3, 6, 16, 64, 8, (20_000, 20_000), 1000)
FOLDER = _small(128, 4, 4, 8, 16, 16, (4000, 3000), 400)
