"""The model card of a bundle: its README.md, as the Hugging Face Hub shows it.

The template below is the card. The licence is the owner's to say.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from uvim_fsq.evaluation.table import BASELINES, TITLES, best_of, score_rows, summary
from uvim_fsq.markup import filled, json_text, markdown, markdown_code
from uvim_fsq.settings import as_json
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.tables import markdown_table
from uvim_fsq.tasks.scoring import Scoring

# What is not known is left out, see `filled`.
_CARD = """\
---
library_name: uvim-fsq
pipeline_tag: {task.tags[0]}
tags:
{tags}
---

# {title}

{purpose} [UViM](https://arxiv.org/abs/2205.10337) predicts in two stages: stage II reads the picture and writes a short \
*guiding code*, one index after another; stage I's decoder turns the code into the prediction. {config.quantizer.about}

**{summary}**

## Use

{use}

## Model

| | |
|---|---|
| works at | {size} pixels (rows x columns) |
| stage I | {counts[stage1]:,} parameters; width {model1.width}, {model1.encoder_depth} + {model1.decoder_depth} layers, patches of \
{model1.patch_size[0]} x {model1.patch_size[1]}; {context} the picture[[; step {details[steps][stage1]:,}, {checkpoint}]] |
| stage II | {counts[stage2]:,} parameters; width {model2.width}, {model2.encoder_depth} + {model2.decoder_depth} layers, patches of \
{model2.patch_size[0]} x {model2.patch_size[1]}[[; step {details[steps][stage2]:,}, {checkpoint}]][[; seed {details[stage2_seed]}]] |
| guiding code | {model1.code_length} indices |
| quantizer | {quantizer} |
| codebook usage | {details[codebook_usage][usage]:.1%} of the codewords over {details[codebook_usage][indices]:,.0f} indices\
[[, perplexity {details[codebook_usage][perplexity]:.1f}]] (training pictures) |
| weights | {source} |
| written with | {versions} |

## Training data

- Stage I was trained on {other}.
- {data}.
- Stage I: training planned for [[{trained[stage1].steps:,} steps]][[{trained[stage1].epochs:g} passes over the data \
in steps]] of {trained[stage1].batch_size:,} examples.
- Stage II: training planned for [[{trained[stage2].steps:,} steps]][[{trained[stage2].epochs:g} passes over the data \
in steps]] of {trained[stage2].batch_size:,} examples.
- The weights started from those of {init_from}.
- Stage II's image encoder started from {encoder}.

## Scores

{not_scored}
Of {report[pictures]:,} pictures[[ of the {report[part]} part of {called}]][[ {name}]][[ (fingerprint {report[data][scored]})]]\
[[, those in the list {listed}]]:

{table}

*Greedy* takes the likeliest index each time. Samples, one or the mean of several, are drawn at temperature \
{settings[temperature]:g}[[ among the {top_k} likeliest indices]][[ among the likeliest indices that hold {top_p:.0%} of \
probability]][[, seed {settings[seed]}]]. Rows with another picture's code or context are controls: they tell how much \
the prediction owes to each.

**The greedy prediction scores no better than a predictor that uses no model** ({no_better_than}).

Under stage II the code of a picture costs {scores[codebook/bits_per_image]:.0f} bits, \
{scores[codebook/bits_per_index]:.2f} an index.

## Limits

- Every picture is resized to {size} pixels and its prediction back to the picture's own size: what is smaller than a \
pixel of {size} is lost.
{limits}
"""

_USE = """\
```python
import uvim_fsq

model = uvim_fsq.load({python_name})  # this folder, or OWNER/NAME on the Hugging Face Hub
{task.result} = model.predict("picture.jpg")  # {task.result_meaning}
```

```bash
uvim-fsq predict {name} picture.jpg --output predictions
uvim-fsq evaluate {name}{evaluation_words}
```

`predict` writes the code {sampling} unless `temperature`, `top_k`, `top_p` or `samples` say
otherwise. Loading runs no code from this folder."""

_USE_OF_STAGE1 = """\
This bundle holds stage I alone, on which a stage II can be trained:

```bash
uvim-fsq train {task.kind} --stage1 {name}   # and its settings
uvim-fsq evaluate {name} --stage1-only
```"""


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
    task, whole = config.task, "stage2" in counts
    small = "That is a small model, for trying things out."
    blind = "Without a stage II it predicts nothing from a picture alone."
    limits = [small] if max(task.image_size) <= 128 else []
    limits += [*config.data.limits, task.limits(), *([] if whole else [blind])]
    temperature = task.build().default_temperature
    sampling = "greedily (the likeliest index each time)"
    if temperature:
        sampling = (
            f"by one sample at temperature {temperature:g}, reproducible by its seed"
        )
    use = filled(
        _USE if whole else _USE_OF_STAGE1,
        task=task,
        # What begins with a dash would be an option.
        name=shlex.quote(f"./{name}" if name.startswith("-") else name),
        # JSON's double quotes and escapes are Python's too.
        python_name=json_text(name, ensure_ascii=False),
        evaluation_words=config.data.evaluation_words(task.own_source),
        sampling=sampling,
    )
    return filled(
        _CARD,
        **{"config": config, "task": task, "counts": counts, "details": details},
        **{"model1": config.stage1.model, "model2": config.stage2.model},
        title=markdown(name),
        tags=_listed(["uvim", config.quantizer.kind, "jax", *task.tags[1:]]),
        purpose=task.purpose(),
        use=use,
        size=f"{task.image_size[0]} x {task.image_size[1]}",
        limits=_listed(limits),
        **_training(config, details, counts),
        **_scores(task.scoring(), details.get("scores") or {}),
    )


def _listed(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _code(text: str | None) -> str | None:
    return markdown_code(text) if text else None


def _training(
    config: RunConfig, details: Mapping[str, Any], counts: Mapping[str, int]
) -> dict[str, Any]:
    """Of the stages, and what they were trained on, for how long, and from which weights."""
    model, steps = config.stage1.model, details.get("steps", {})
    sides = ["encoder"] * model.encoder_context + ["decoder"] * model.decoder_context
    sees = f"its {' and '.join(sides)} see{'s' * (len(sides) == 1)}"
    best = "where the validation loss was lowest"
    known = [name for name in counts if steps.get(name) is not None]
    trained = {name: getattr(config, name) for name in known}
    data, other = config.data.describe(), details.get("stage1_data")
    start = data[0].upper() + data[1:]
    if other:  # The settings of stage I are another model's.
        trained.pop("stage1", None)
        other = as_json.from_dict({"data": other}).data.describe()
        start = f"Stage II was trained on {data}"
    encoder = config.stage2.pretrained_encoder if "stage2" in counts else None
    versions = details.get("versions", {}).items()
    return {
        "context": sees if sides else "does not see",
        "quantizer": config.quantizer.describe(),
        "checkpoint": best if config.checkpoint == "best" else "the last",
        "source": details.get("source") or None,
        "versions": ", ".join(f"{name} {each}" for name, each in versions) or None,
        "other": other,
        "data": start,
        "trained": trained,
        "init_from": _code(config.init_from),
        "encoder": _code(encoder),
    }


_SCORES = (
    *("not_scored", "report", "scores", "settings", "called", "name", "listed"),
    *("table", "top_k", "top_p", "summary", "no_better_than"),
)


def _scores(scoring: Scoring, report: Mapping[str, Any]) -> dict[str, Any]:
    """Of `report`, the content of a `scores.json`, all of it optional."""
    scores, settings = report.get("scores") or {}, report.get("evaluation", {})
    rows, data = score_rows(scores, scoring), report.get("data", {})
    if len(rows) == 1:
        return dict.fromkeys(_SCORES) | {"not_scored": "Not scored yet."}
    top_p = settings.get("top_p", 1.0)
    found = dict.fromkeys(_SCORES) | {
        **{"report": report, "scores": scores, "settings": settings},
        "called": "the data" if data.get("own", True) else "other data",
        "name": _code(data.get("name")),
        "listed": _code(settings.get("list")),
        "table": markdown_table(rows),
        "top_k": settings.get("top_k") or None,
        "top_p": top_p if top_p < 1 else None,
    }
    if f"greedy/{scoring.headline}" in scores:
        found["summary"] = summary(scores, scoring)
        best = best_of([*BASELINES, "greedy"], scores, scoring)
        found["no_better_than"] = TITLES[best] if best in BASELINES else None
    return found
