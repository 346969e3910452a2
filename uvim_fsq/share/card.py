"""The model card of a bundle: its README.md, as the Hugging Face Hub shows it.

It tells what it can of the settings and details of the model, and leaves out what it cannot. The
licence is the owner's to say.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from uvim_fsq.markup import json_text, markdown
from uvim_fsq.settings.run import (
    ColorizationConfig,
    DepthConfig,
    PanopticConfig,
    RunConfig,
    ScenesConfig,
    TfdsConfig,
)
from uvim_fsq.share.card_facts import data_section, model_section, size_text
from uvim_fsq.share.card_scores import headline, scores_section
from uvim_fsq.tasks.registry import build_task

_TASKS = {
    # pipeline_tag and tags of the Hub; title; what `predict` returns
    "depth": (
        ["depth-estimation"],
        "Depth estimation",
        "depth",
        "float32, metres, the picture's own size",
    ),
    "panoptic": (
        ["image-segmentation", "panoptic-segmentation"],
        "Panoptic segmentation",
        "segments",
        'dict of "panoptic", int32 ids of the picture\'s own size, and "segments"',
    ),
    "colorization": (
        ["image-to-image", "image-colorization"],
        "Colorization",
        "colors",
        "uint8 RGB, the picture's own size",
    ),
}
_PAPERS = (
    "[UViM](https://arxiv.org/abs/2205.10337) predicts in two stages: stage II reads the picture and "
    "writes a short *guiding code*, one index after another; stage I's decoder turns the code into the "
    "prediction. "
)
_QUANTIZERS = {
    "fsq": "The code is quantized by [FSQ](https://arxiv.org/abs/2309.15505), which rounds a few "
    "bounded channels.",
    "vq": "The code is quantized by VQ with a learned codebook.",
    "identity": "This model's code is not quantized, so that it has no stage II.",
}


def model_card(
    config: RunConfig, details: Mapping[str, Any], counts: Mapping[str, int], name: str
) -> str:
    """Markdown with YAML front matter.

    Args:
      config: settings without places of a machine.
      details: see `uvim_fsq.share.bundle.write_model`.
      counts: parameters by stage.
      name: of the bundle.
    """
    sections = [
        _front_matter(config),
        f"# {markdown(name)}",
        f"{_purpose(config)} {_PAPERS}{_QUANTIZERS[config.quantizer.kind]}",
        headline(config, details),
        _use(config, name, "stage2" in counts),
        model_section(config, details, counts),
        data_section(config, details, counts),
        scores_section(config, details),
        _limits(config, counts),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(config: RunConfig) -> str:
    tags, *_ = _TASKS[config.task.kind]
    lines = ["library_name: uvim-fsq", f"pipeline_tag: {tags[0]}", "tags:"]
    lines += [f"- {tag}" for tag in ("uvim", config.quantizer.kind, "jax", *tags[1:])]
    return "\n".join(["---", *lines, "---"])


def _purpose(config: RunConfig) -> str:
    task = config.task
    if isinstance(task, DepthConfig):
        return (
            f"Depth in metres, from {task.min_depth:g} to {task.max_depth:g}, for every pixel of a "
            "colour picture."
        )
    if isinstance(task, ColorizationConfig):
        return "Colours for a grey picture."
    classes = len(task.categories) or task.classes - 1
    return (
        f"A class and an instance for every pixel of a colour picture: {classes} classes of things "
        "and stuff."
    )


def _use(config: RunConfig, bundle: str, whole: bool) -> str:
    # What begins with a dash would be an option.
    name = shlex.quote(f"./{bundle}" if bundle.startswith("-") else bundle)
    *_, result, meaning = _TASKS[config.task.kind]
    if not whole:
        return (
            "## Use\n\nThis bundle holds stage I alone, on which a stage II can be trained:\n\n"
            f"```bash\nuvim-fsq train {config.task.kind} --stage1 {name}   # and its settings\n"
            f"uvim-fsq evaluate {name} --stage1-only\n```"
        )
    temperature = build_task(config.task).default_temperature
    sampling = (
        "greedily (the likeliest index each time)"
        if temperature == 0
        else f"by one sample at temperature {temperature:g}, reproducible by its seed"
    )
    return f"""## Use

```python
import uvim_fsq

model = uvim_fsq.load({_python(bundle)})  # this folder, or OWNER/NAME on the Hugging Face Hub
{result} = model.predict("picture.jpg")  # {meaning}
```

```bash
uvim-fsq predict {name} picture.jpg --output predictions
uvim-fsq evaluate {name}{_evaluation(config)}
```

`predict` writes the code {sampling} unless `temperature`, `top_k`, `top_p` or `samples` say
otherwise. Loading runs no code from this folder."""


def _python(text: str) -> str:
    """A text in Python; JSON's double quotes and escapes are Python's too."""
    return json_text(text, ensure_ascii=False)


def _evaluation(config: RunConfig) -> str:
    """Options that name data to score on."""
    if isinstance(config.data, TfdsConfig):
        return ""
    if not isinstance(config.data, ScenesConfig):
        return " --data.path FOLDER"
    source = {"depth": "folder", "panoptic": "coco"}.get(config.task.kind, "pictures")
    return f"   # or your data: --source {source} --data.path FOLDER"


def _limits(config: RunConfig, counts: Mapping[str, int]) -> str:
    task = config.task
    size = size_text(task.image_size)
    lines = [
        f"Every picture is resized to {size} pixels and its prediction back to the picture's own "
        f"size: what is smaller than a pixel of {size} is lost."
    ]
    if max(task.image_size) <= 128:
        lines.append("That is a small model, for trying things out.")
    if isinstance(config.data, ScenesConfig):
        lines.append(
            "It has seen rendered rooms only; expect little of it on photographs."
        )
    if isinstance(task, DepthConfig):
        lines.append(
            f"Depth lies between {task.min_depth:g} and {task.max_depth:g} m, in {task.bins} steps, "
            "and metres hold for cameras like those of the training data."
        )
    elif isinstance(task, ColorizationConfig):
        lines.append("Colours are plausible, not those that were there.")
    else:
        lines.append(
            f"At most {task.instances - 1} segments a picture. Classes: {_classes(task)}."
        )
    if "stage2" not in counts:
        lines.append("Without a stage II it predicts nothing from a picture alone.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _classes(task: PanopticConfig) -> str:
    if not task.categories:
        return f"{task.classes - 1}, whose names are not known"
    return ", ".join(markdown(category.name) for category in task.categories)
