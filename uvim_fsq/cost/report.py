"""What a person sees of `describe` in the terminal."""

from collections.abc import Callable, Mapping
from typing import Any

from uvim_fsq.cost.memory import TOLERANCE
from uvim_fsq.terminal import plain_console
from uvim_fsq.training.progress import duration

_GIGA = 10**9
_FITS = {"yes": "fits", "maybe": "may fit", "no": "too much"}


def print_description(description: Mapping[str, Any]) -> None:
    """Prints what `summary.describe` gives, in tables with a column for each stage."""
    console = plain_console()
    model = description["model"]
    stages = [description[name] for name in ("stage1", "stage2") if description[name]]

    def show(*things: Any) -> None:
        for thing in things:
            console.print(thing)

    show(*_model_lines(model))
    if description["stage2"] is None:
        show(
            "stage II is left out: it models the indices of a codebook, and this quantizer has none"
        )
    show("", _parameters(stages), "", _arithmetic(stages, description["prediction"]))
    show(*_training_lines(description, stages), "")
    show(_memory(stages, description["machine"]), "", _choices(description, stages))
    show("", *_prediction_lines(description))
    show(*_notes(description))


def _model_lines(model: Mapping[str, Any]) -> list[str]:
    rows, columns = model["image_size"]
    unit = "values" if model["task"] == "colorization" else "classes"
    channels = ", ".join(
        f"{name} ({number} {unit})" for name, number in model["channels"].items()
    )
    lines = [f"{model['task']} at {rows} x {columns} pixels; channels: {channels}"]
    codebook = "no codebook"
    if model["codebook_size"]:
        codebook = (
            f"of {model['codebook_size']:,} codewords, {model['bits_per_image']:,.0f} "
            "bits per image"
        )
    lines.append(
        f"code: {model['code_length']} positions, {codebook} ({model['quantizer']}, "
        f"{model['code_dim']} channels)"
    )
    sides = [side for side in ("encoder", "decoder") if model[f"{side}_context"]]
    seen = " and ".join(sides) or "neither side"
    lines.append(f"the image is context of stage I's {seen}")
    for name, stage in (("stage I", "stage1"), ("stage II", "stage2")):
        if model[stage]:
            lines.append(_transformer_line(name, model[stage]))
    return lines


def _transformer_line(name: str, model: Mapping[str, Any]) -> str:
    grid, patch = (" x ".join(map(str, model[key])) for key in ("grid", "patch_size"))
    return (
        f"{name}: {model['encoder_depth']} + {model['decoder_depth']} layers, width "
        f"{model['width']}, MLP {model['mlp_width']}, {model['num_heads']} heads; {grid} patches "
        f"of {patch}; {model['dtype']}"
    )


def _table(title: str, stages: list, rows: Mapping[str, list[str]]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column(title, no_wrap=True, min_width=44)
    for number in ("stage I", "stage II")[: len(stages)]:
        table.add_column(number, justify="right", no_wrap=True, min_width=14)
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _rows(
    parts: list[Mapping[str, Any]], show: Callable[[Any], str]
) -> dict[str, list[str]]:
    """A row for every part of any stage."""
    names = dict.fromkeys(name for stage in parts for name in stage)
    last = [name for name in names if name not in parts[0]]
    names = [*(name for name in names if name in parts[0]), *last]
    return {
        name: [show(stage[name]) if name in stage else "-" for stage in parts]
        for name in names
    }


def _parameters(stages: list) -> Any:
    counts = [stage["parameters"] for stage in stages]
    rows = _rows([count["parts"] for count in counts], "{:,}".format)
    rows["all parameters"] = [f"{count['all']:,}" for count in counts]
    rows["  GB"] = [_gb(count["bytes"]) for count in counts]
    if any(count["codebook"] for count in counts):
        rows["codebook, moved without gradients"] = [
            f"{count['codebook']:,}" for count in counts
        ]
    return _table("parameters", stages, rows)


def _arithmetic(stages: list, prediction: Mapping[str, Any]) -> Any:
    training = [stage["training"] for stage in stages]
    rows = _rows([stage["parts"] for stage in training], _gflop)
    rows["a training step"] = [_gflop(stage["flops_per_image"]) for stage in training]
    rows["  beside it, computed again to save memory"] = [
        _gflop(stage["recomputed_per_image"]) for stage in training
    ]
    for name, value in prediction["parts"].items():
        column = 0 if name == "decode" or len(stages) == 1 else 1
        cells = ["-"] * len(stages)
        cells[column] = _gflop(value)
        rows[f"predicting: {name}"] = cells
    return _table("GFLOP per image", stages, rows)


def _training_lines(description: Mapping[str, Any], stages: list) -> list[str]:
    lines = [
        f"predicting, in all: {_gflop(description['prediction']['flops_per_image'])}"
    ]
    for name, stage in zip(("stage I", "stage II"), stages, strict=False):
        training, time = stage["training"], stage["time"]
        batch, per_step = training["batch_size"], training["flops_per_step"]
        line = f"{name}: {batch:,} images a step, {per_step / 1e12:,.4g} TFLOP"
        if training["steps"] is None:
            line += "; how many steps depends on the data: give --examples N"
        else:
            line += (
                f"; {training['steps']:,} steps, {training['flops'] / 1e18:,.3g} EFLOP"
            )
        lines.append(line)
        if time:
            line = f"  at that speed {time['images_per_second']:,.4g} images/s"
            line += f", {time['seconds_per_step']:,.3g} s a step"
            if time["seconds"] is not None:
                line += f", {duration(time['seconds'])} in all"
            lines.append(line)
    return lines


def _memory(stages: list, machine: Mapping[str, Any]) -> Any:
    chosen = [
        stage["memory"]["choices"][stage["memory"]["rematerialize"]] for stage in stages
    ]
    rows = _rows([memory["held"] for memory in chosen], _gb)
    rows |= _rows([memory["passing"] for memory in chosen], _gb)
    rows["all"] = [_gb(memory["total"]) for memory in chosen]
    rows[f"  of {machine['memory_gb']:g} GB"] = [
        _FITS[memory["fits"]] for memory in chosen
    ]
    rows["images at once, micro-batches"] = [
        f"{memory['images_at_once']:,}, {memory['micro_batches']:,}"
        for memory in chosen
    ]
    devices = machine["devices"]
    title = "GB while training" if devices == 1 else f"GB on each of {devices} devices"
    return _table(title, stages, rows)


def _choices(description: Mapping[str, Any], stages: list) -> Any:
    """What each choice of what is computed again takes, and how many images it lets in."""
    budget = f"{description['machine']['memory_gb']:g} GB"
    rows = {}
    for choice in stages[0]["memory"]["choices"]:
        memories = [stage["memory"]["choices"][choice] for stage in stages]
        rows[f"{choice}: GB as it is"] = [
            f"{_gb(memory['total'])}, {_FITS[memory['fits']]}" for memory in memories
        ]
        rows[f"{choice}: what surely fits {budget}"] = [
            _fitting(memory["fitting"]) for memory in memories
        ]
    return _table("by --stage1/2.model.rematerialize", stages, rows)


def _fitting(fitting: Mapping[str, int] | None) -> str:
    if fitting is None:
        return "not one image"
    return f"micro-batches {fitting['micro_batches']:,}"


def _prediction_lines(description: Mapping[str, Any]) -> list[str]:
    prediction = description["prediction"]
    memory, budget = prediction["memory"], description["machine"]["memory_gb"]
    return [
        f"predicting {prediction['batch_size']} images at once takes {_gb(memory['total'])} GB "
        f"of {budget:g}: {_FITS[memory['fits']]}"
    ]


def _notes(description: Mapping[str, Any]) -> list[str]:
    notes = [
        "",
        "What is held (weights to batch) is exact; gradients, activations and what is at work are an "
        f"estimate, within {TOLERANCE:.0%} of XLA's own plan for processors where it was checked.",
        "GB are 10^9 bytes. JAX takes 75 % of a GPU's memory unless XLA_PYTHON_CLIENT_MEM_FRACTION "
        "says more.",
    ]
    if description["machine"]["tflops"] is None:
        notes.append("Times need a speed: give --tflops, what a device achieves.")
    return notes


def _gb(size: int) -> str:
    value = size / _GIGA
    return f"{value:,.3f}" if value < 1 else f"{value:,.2f}"


def _gflop(value: int | float) -> str:
    shown = value / _GIGA
    return f"{shown:,.3g}" if shown < 1 else f"{shown:,.1f}"
