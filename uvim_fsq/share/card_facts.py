"""The parts of a model card that tell of the model and of its training."""

from collections.abc import Mapping
from typing import Any

from uvim_fsq.markup import markdown_code
from uvim_fsq.models.uvim.settings import ModelConfig
from uvim_fsq.settings import as_json
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.training.settings import StageConfig


def model_section(
    config: RunConfig, details: Mapping[str, Any], counts: Mapping[str, int]
) -> str:
    """A table of sizes, both stages, quantizer and codebook."""
    rows = [
        ("works at", f"{size_text(config.task.image_size)} pixels (rows x columns)"),
        *_stages(config, details, counts),
        ("guiding code", f"{config.stage1.model.code_length} indices"),
        ("quantizer", config.quantizer.describe()),
    ]
    usage = details.get("codebook_usage")
    if usage and {"usage", "indices"} <= set(usage):
        text = f"{usage['usage']:.1%} of the codewords over {usage['indices']:,.0f} indices"
        if "perplexity" in usage:
            text += f", perplexity {usage['perplexity']:.1f}"
        rows.append(("codebook usage", f"{text} (training pictures)"))
    if details.get("source"):
        rows.append(("weights", details["source"]))
    versions = details.get("versions", {})
    if versions:
        rows.append(
            ("written with", ", ".join(f"{k} {v}" for k, v in versions.items()))
        )
    lines = ["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows)]
    return "## Model\n\n" + "\n".join(lines)


def _stages(
    config: RunConfig, details: Mapping[str, Any], counts: Mapping[str, int]
) -> list[tuple[str, str]]:
    model = config.stage1.model
    seen = [
        name
        for name, shown in (
            ("encoder", model.encoder_context),
            ("decoder", model.decoder_context),
        )
        if shown
    ]
    context = f"its {' and '.join(seen)} see" + ("s" if len(seen) == 1 else "")
    notes = {
        "stage1": f"{context} the picture" if seen else "does not see the picture",
        "stage2": "",
    }
    rows = []
    for name, title in (("stage1", "stage I"), ("stage2", "stage II")):
        if name not in counts:
            continue
        parts = [f"{counts[name]:,} parameters", _shape(getattr(config, name).model)]
        parts += [notes[name]] if notes[name] else []
        step = details.get("steps", {}).get(name)
        if step is not None:
            parts.append(f"step {step:,}, {_checkpoint(config)}")
        if name == "stage2" and "stage2_seed" in details:
            parts.append(f"seed {details['stage2_seed']}")
        rows.append((title, "; ".join(parts)))
    return rows


def _checkpoint(config: RunConfig) -> str:
    best = config.checkpoint == "best"
    return "where the validation loss was lowest" if best else "the last"


def _shape(model: ModelConfig) -> str:
    return (
        f"width {model.width}, {model.encoder_depth} + {model.decoder_depth} layers, patches of "
        f"{size_text(model.patch_size)}"
    )


def data_section(
    config: RunConfig, details: Mapping[str, Any], counts: Mapping[str, int]
) -> str:
    """What the stages were trained on, for how long, and from which weights."""
    whole = config.data.describe()
    lines = []
    other = details.get("stage1_data")
    if other:
        data = as_json.from_dict({"data": other}).data
        lines.append(f"Stage I was trained on {data.describe()}.")
        lines.append(f"Stage II was trained on {whole}.")
    else:
        lines.append(f"{whole[0].upper()}{whole[1:]}.")
    for name, title in (("stage1", "Stage I"), ("stage2", "Stage II")):
        if name in counts and details.get("steps", {}).get(name) is not None:
            if name == "stage2" or not other:  # Its settings are another model's.
                lines.append(f"{title}: {_training(getattr(config, name))}.")
    if config.init_from:
        lines.append(
            f"The weights started from those of {markdown_code(config.init_from)}."
        )
    if config.stage2.pretrained_encoder and "stage2" in counts:
        lines.append(
            "Stage II's image encoder started from "
            f"{markdown_code(config.stage2.pretrained_encoder)}."
        )
    return "## Training data\n\n" + "\n".join(f"- {line}" for line in lines)


def _training(stage: StageConfig) -> str:
    length = (
        f"{stage.steps:,} steps of {stage.batch_size:,} examples"
        if stage.steps is not None
        else f"{stage.epochs:g} passes over the data in steps of {stage.batch_size:,} examples"
    )
    return f"training planned for {length}"


def size_text(size: tuple[int, int]) -> str:
    """Rows and columns."""
    return f"{size[0]} x {size[1]}"
