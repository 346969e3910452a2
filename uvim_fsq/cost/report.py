"""What a person sees of `describe` in the terminal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from uvim_fsq.cost.memory import TOLERANCE
from uvim_fsq.training.progress import duration

_NAMES = {"stage1": "stage I", "stage2": "stage II"}
_FITS = {"yes": "fits", "maybe": "may fit", "no": "too much"}
_GIGA = 10**9

Rows = dict[str, list[str]]
"""The cells of each row, one for each stage."""


def print_description(description: Mapping[str, Any]) -> None:
    """Prints what `describe.describe` gives, in tables with a column for each stage."""
    stages = [description[name] for name in _NAMES if description[name]]
    machine, prediction = description["machine"], description["prediction"]
    budget = f"{machine['memory_gb']:g} GB"
    where = "while training"
    if machine["devices"] > 1:
        where = f"on each of {machine['devices']} devices"
    blocks = [
        _model(description["model"]),
        _table("parameters", _parameters(stages)),
        [
            *_table("GFLOP per image", _operations(stages, prediction)),
            f"predicting, in all: {_gflop(prediction['flops_per_image'])}",
            *_steps(stages),
        ],
        _table(f"GB {where}", _memory(stages, budget)),
        _table("by --stage1/2.model.rematerialize", _choices(stages, budget)),
        [
            f"predicting {prediction['batch_size']} images at once takes "
            f"{_gb(prediction['memory']['total'])} GB of {machine['memory_gb']:g}: "
            + _FITS[prediction["memory"]["fits"]]
        ],
        _notes(machine),
    ]
    print("\n\n".join("\n".join(lines) for lines in blocks))


def _model(model: Mapping[str, Any]) -> list[str]:
    rows, columns = model["image_size"]
    unit = "values" if model["task"] == "colorization" else "classes"
    channels = ", ".join(f"{k} ({v} {unit})" for k, v in model["channels"].items())
    codebook = "no codebook"
    if model["codebook_size"]:
        codebook = f"of {model['codebook_size']:,} codewords, {model['bits_per_image']:,.0f} bits per image"
    sides = [side for side in ("encoder", "decoder") if model[f"{side}_context"]]
    lines = [
        f"{model['task']} at {rows} x {columns} pixels; channels: {channels}",
        f"code: {model['code_length']} positions, {codebook} ({model['quantizer']}, "
        f"{model['code_dim']} channels)",
        f"the image is context of stage I's {' and '.join(sides) or 'neither side'}",
    ]
    for key, name in _NAMES.items():
        if model[key] is None:
            lines.append(
                "stage II is left out: it models the indices of a codebook, and this quantizer has none"
            )
        else:
            lines.append(f"{name}: {_transformer(model[key])}")
    return lines


def _transformer(model: Mapping[str, Any]) -> str:
    grid, patch = (" x ".join(map(str, model[key])) for key in ("grid", "patch_size"))
    return (
        f"{model['encoder_depth']} + {model['decoder_depth']} layers, width {model['width']}, "
        f"MLP {model['mlp_width']}, {model['num_heads']} heads; {grid} patches of {patch}; "
        f"{model['dtype']}"
    )


def _table(title: str, rows: Rows) -> list[str]:
    columns = len(next(iter(rows.values())))
    lines = {title: list(_NAMES.values())[:columns]} | rows
    widths = [
        max(14, *(len(cells[i]) for cells in lines.values())) for i in range(columns)
    ]
    return [
        "  ".join(
            [f"{name:44}", *(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))]
        )
        for name, cells in lines.items()
    ]


def _parts(stages: Sequence[Mapping[str, Any]], show: Callable[[Any], str]) -> Rows:
    """A row for every part of any stage."""
    names = dict.fromkeys(name for parts in stages for name in parts)
    return {
        name: [show(parts[name]) if name in parts else "-" for parts in stages]
        for name in names
    }


def _parameters(stages: list) -> Rows:
    counts = [stage["parameters"] for stage in stages]
    rows = _parts([count["parts"] for count in counts], "{:,}".format)
    rows["all parameters"] = [f"{count['all']:,}" for count in counts]
    rows["  GB"] = [_gb(count["bytes"]) for count in counts]
    if any(count["codebook"] for count in counts):
        name = "codebook, moved without gradients"
        rows[name] = [f"{count['codebook']:,}" for count in counts]
    return rows


def _operations(stages: list, prediction: Mapping[str, Any]) -> Rows:
    training = [stage["training"] for stage in stages]
    again = "  beside it, computed again to save memory"
    rows = _parts([stage["parts"] for stage in training], _gflop)
    rows["a training step"] = [_gflop(stage["flops_per_image"]) for stage in training]
    rows[again] = [_gflop(stage["recomputed_per_image"]) for stage in training]
    for name, value in prediction["parts"].items():
        cells = ["-"] * len(stages)
        cells[0 if name == "decode" else -1] = _gflop(value)
        rows[f"predicting: {name}"] = cells
    return rows


def _steps(stages: list) -> list[str]:
    lines = []
    for name, stage in zip(_NAMES.values(), stages, strict=False):
        training, time = stage["training"], stage["time"]
        line = f"{name}: {training['batch_size']:,} images a step, {training['flops_per_step'] / 1e12:,.4g} TFLOP; "
        if training["steps"] is None:
            line += "how many steps depends on the data: give --examples N"
        else:
            line += (
                f"{training['steps']:,} steps, {training['flops'] / 1e18:,.3g} EFLOP"
            )
        lines.append(line)
        if time:
            line = f"  at that speed {time['images_per_second']:,.4g} images/s, "
            line += f"{time['seconds_per_step']:,.3g} s a step"
            if time["seconds"] is not None:
                line += f", {duration(time['seconds'])} in all"
            lines.append(line)
    return lines


def _memory(stages: list, budget: str) -> Rows:
    memories = [stage["memory"] for stage in stages]
    chosen = [memory["choices"][memory["rematerialize"]] for memory in memories]
    rows = _parts([memory["held"] for memory in chosen], _gb)
    rows |= _parts([memory["passing"] for memory in chosen], _gb)
    rows["all"] = [_gb(memory["total"]) for memory in chosen]
    rows[f"  of {budget}"] = [_FITS[memory["fits"]] for memory in chosen]
    rows["images at once, micro-batches"] = [
        f"{memory['images_at_once']:,}, {memory['micro_batches']:,}"
        for memory in chosen
    ]
    return rows


def _choices(stages: list, budget: str) -> Rows:
    """What each choice of what is computed again takes, and how many images it lets in."""
    rows = {}
    for choice in stages[0]["memory"]["choices"]:
        memories = [stage["memory"]["choices"][choice] for stage in stages]
        rows[f"{choice}: GB as it is"] = [
            f"{_gb(memory['total'])}, {_FITS[memory['fits']]}" for memory in memories
        ]
        rows[f"{choice}: what surely fits {budget}"] = [
            f"micro-batches {memory['fitting']['micro_batches']:,}"
            if memory["fitting"]
            else "not one image"
            for memory in memories
        ]
    return rows


def _notes(machine: Mapping[str, Any]) -> list[str]:
    notes = [
        "What is held (weights to batch) is exact; gradients, activations and what is at work are an "
        f"estimate, within {TOLERANCE:.0%} of XLA's own plan for processors where it was checked.",
        "GB are 10^9 bytes. JAX takes 75 % of a GPU's memory unless XLA_PYTHON_CLIENT_MEM_FRACTION "
        "says more.",
    ]
    if machine["tflops"] is None:
        notes.append("Times need a speed: give --tflops, what a device achieves.")
    return notes


def _gb(size: int) -> str:
    value = size / _GIGA
    return f"{value:,.3f}" if value < 1 else f"{value:,.2f}"


def _gflop(value: int | float) -> str:
    shown = value / _GIGA
    return f"{shown:,.3g}" if shown < 1 else f"{shown:,.1f}"
