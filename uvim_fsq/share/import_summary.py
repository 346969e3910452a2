"""What an import of published checkpoints found, in lines for a person."""

from collections.abc import Mapping

from uvim_fsq.models.uvim.settings import ModelConfig
from uvim_fsq.quantizers.settings import VQConfig
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.share.import_big_vision import Checkpoints


def summary(
    checkpoints: Checkpoints, config: RunConfig, counts: Mapping[str, int]
) -> list[str]:
    """Task, image, code, stages, and what was assumed or left out.

    Args:
      checkpoints: from `inspect`.
      config: the settings that the model was written with.
      counts: parameters by stage.
    """
    model, quantizer = config.stage1.model, config.quantizer
    assert isinstance(quantizer, VQConfig)
    rows = [
        ("task", config.task.describe()),
        ("image", "{} x {} pixels".format(*config.task.image_size)),
        (
            "code",
            f"{model.code_length} indices into {quantizer.codebook_size:,} codewords of "
            f"{quantizer.code_dim}, {model.resize} resizing",
        ),
    ]
    sides = [s for s in ("encoder", "decoder") if getattr(model, f"{s}_context")]
    context = " and ".join(sides) or "neither side"
    stages: dict[str, tuple[str, ModelConfig, str]] = {
        "stage1": ("stage I", model, f", image shown to {context}"),
        "stage2": ("stage II", config.stage2.model, ""),
    }
    for stage, count in counts.items():
        title, shape, more = stages[stage]
        rows.append((title, f"{_transformer(shape)}{more}; {count:,} parameters"))
    rows += [("assumed", text) for text in checkpoints.assumed]
    for stage, ignored in checkpoints.ignored.items():
        if ignored:
            text = ", ".join(f"{name}/ ({n})" for name, n in sorted(ignored.items()))
            rows.append(("ignored", f"{text}, of {checkpoints.paths[stage].name}"))
    return [f"{name:<9} {text}" for name, text in rows]


def _transformer(model: ModelConfig) -> str:
    return (
        f"{model.encoder_depth} + {model.decoder_depth} layers of width {model.width} with "
        f"{model.num_heads} heads, MLP {model.mlp_width}, patches of {model.patch_size[0]} x "
        f"{model.patch_size[1]}, {model.positions} positions"
    )
