"""The model card of a bundle: its README.md, as the Hugging Face Hub shows it.

It tells what it can of the settings and details of the model, and leaves out what it cannot. The
licence is the owner's to say.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from uvim_fsq.markup import json_text, markdown
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.share.card_facts import data_section, model_section, size_text
from uvim_fsq.share.card_scores import headline, scores_section

_PAPERS = (
    "[UViM](https://arxiv.org/abs/2205.10337) predicts in two stages: stage II reads the picture and "
    "writes a short *guiding code*, one index after another; stage I's decoder turns the code into the "
    "prediction. "
)


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
        f"{config.task.purpose()} {_PAPERS}{config.quantizer.about}",
        headline(config, details),
        _use(config, name, "stage2" in counts),
        model_section(config, details, counts),
        data_section(config, details, counts),
        scores_section(config, details),
        _limits(config, counts),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(config: RunConfig) -> str:
    tags = config.task.tags
    lines = ["library_name: uvim-fsq", f"pipeline_tag: {tags[0]}", "tags:"]
    lines += [f"- {tag}" for tag in ("uvim", config.quantizer.kind, "jax", *tags[1:])]
    return "\n".join(["---", *lines, "---"])


def _use(config: RunConfig, bundle: str, whole: bool) -> str:
    # What begins with a dash would be an option.
    name = shlex.quote(f"./{bundle}" if bundle.startswith("-") else bundle)
    result, meaning = config.task.result, config.task.result_meaning
    if not whole:
        return (
            "## Use\n\nThis bundle holds stage I alone, on which a stage II can be trained:\n\n"
            f"```bash\nuvim-fsq train {config.task.kind} --stage1 {name}   # and its settings\n"
            f"uvim-fsq evaluate {name} --stage1-only\n```"
        )
    temperature = config.task.build().default_temperature
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
uvim-fsq evaluate {name}{config.data.evaluation_words(config.task.own_source)}
```

`predict` writes the code {sampling} unless `temperature`, `top_k`, `top_p` or `samples` say
otherwise. Loading runs no code from this folder."""


def _python(text: str) -> str:
    """A text in Python; JSON's double quotes and escapes are Python's too."""
    return json_text(text, ensure_ascii=False)


def _limits(config: RunConfig, counts: Mapping[str, int]) -> str:
    task = config.task
    size = size_text(task.image_size)
    lines = [
        f"Every picture is resized to {size} pixels and its prediction back to the picture's own "
        f"size: what is smaller than a pixel of {size} is lost."
    ]
    if max(task.image_size) <= 128:
        lines.append("That is a small model, for trying things out.")
    lines += [*config.data.limits, task.limits()]
    if "stage2" not in counts:
        lines.append("Without a stage II it predicts nothing from a picture alone.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)
