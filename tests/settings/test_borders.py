"""The borders of every numeric setting, found from the settings themselves: refused, or it builds."""

import dataclasses
import functools
import itertools
import math
import typing
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from uvim_fsq.configs import colorization, depth, panoptic
from uvim_fsq.models.uvim import build
from uvim_fsq.models.uvim.buildable import check_length
from uvim_fsq.models.uvim.objectives import codebook_update, target_encoder
from uvim_fsq.models.uvim.stage1.objective import stage1_loss
from uvim_fsq.models.uvim.stage2.objective import stage2_loss
from uvim_fsq.models.uvim.stage2.sampling import Sampling
from uvim_fsq.settings import (
    ConfigError,
    IdentityConfig,
    OptimizerConfig,
    PanopticConfig,
    RunConfig,
    VQConfig,
    replace,
)
from uvim_fsq.settings.check import check
from uvim_fsq.training.state import create_state
from uvim_fsq.training.step import make_step

TASKS = {"depth": depth, "panoptic": panoptic, "colorization": colorization}
SOURCES = typing.get_args(typing.get_type_hints(RunConfig)["data"])
WHOLE = (
    *(-(2**63), -1, 0, 1, 2, 3, 8, 16, 2**14),
    *(2**31 - 1, 2**31, 2**32, 2**63, 10**40),
)
REAL = tuple(
    sorted(
        math.nextafter(number, towards)
        for number in (-1e15, 0.0, 0.5, 1.0, 1e15, 1e300)
        for towards in (-math.inf, number, math.inf)
    )
)
NO_NUMBERS = (math.nan, math.inf, -math.inf)


def _bases() -> dict[str, RunConfig]:
    """Configurations in which, together, every setting occurs; smaller than `tiny`."""
    found = {}
    sizes = dict(width=8, num_heads=2, mlp_width=8, encoder_depth=1, decoder_depth=1)
    for name, module in TASKS.items():
        config = module.get_config("fsq", "tiny")
        for stage in ("stage1", "stage2"):
            changes = {
                f"{stage}__model": replace(getattr(config, stage).model, **sizes),
                f"{stage}__optimizer": OptimizerConfig(multipliers=((".*bias", 0.5),)),
            }
            config = replace(config, **changes)
        found[name] = config
    first = found["depth"]
    found["vq"] = replace(first, quantizer=VQConfig(4, 4))
    found["identity"] = replace(first, quantizer=IdentityConfig(3))
    epochs = dict(steps=None, epochs=2.0, warmup_steps=0)
    found["epochs"] = replace(
        first,
        stage1=replace(first.stage1, **epochs),
        stage2=replace(first.stage2, **epochs),
        evaluation__examples=3,
    )
    for source in SOURCES:
        names = {field.name for field in dataclasses.fields(source)} & {"path", "name"}
        task = found["panoptic" if source.kind == "coco" else "colorization"]
        given: dict[str, Any] = dict.fromkeys(names, "x")
        # A number that is None unless it is given is a setting too.
        fields = dataclasses.fields(source)
        given |= {field.name: 1000.0 for field in fields if field.default is None}
        found[source.kind] = replace(task, data=source(**given))
    return found


BASES = _bases()


def _numbers(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, type]]:
    """(dotted name, value, int or float) of the settings that hold numbers."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from _numbers(value, f"{name}.")
        elif value is not None and (kind := _kind(hints[field.name])):
            yield name, value, kind


def _kind(hint: Any) -> type | None:
    if hint in (int, float):
        return hint
    return next(filter(None, map(_kind, typing.get_args(hint))), None)


def _cases() -> list[tuple[str, str]]:
    """(base, setting), each setting once."""
    found = {}
    for base, config in BASES.items():
        for name, _, _ in _numbers(config):
            part = getattr(config, name.partition(".")[0])
            found.setdefault((name, getattr(part, "kind", None)), (base, name))
    return sorted(found.values())


CASES = _cases()


def _put(value: Any, number: Any) -> Iterator[Any]:
    """The value with the number in place of each of its own numbers."""
    if isinstance(value, tuple):
        for i, item in enumerate(value):
            for changed in _put(item, number):
                yield (*value[:i], changed, *value[i + 1 :])
    elif type(value) in (int, float):
        yield number


def _with(config: RunConfig, name: str, value: Any) -> RunConfig:
    return replace(config, **{name.replace(".", "__"): value})


def _refusal(config: RunConfig) -> str | None:
    stages = (1,) if isinstance(config.quantizer, IdentityConfig) else (1, 2)
    try:
        check(config, stages)
        for number in stages:
            check_length(f"stage{number}", getattr(config, f"stage{number}"), 100)
    except ConfigError as error:
        return str(error)
    return None


@functools.cache
def _answers(base: str, name: str) -> dict[Any, str | None]:
    """What the check says of the candidates, and of the numbers on both sides of where it turns."""
    config = BASES[base]
    ((value, kind),) = ((v, k) for each, v, k in _numbers(config) if each == name)
    found = {}

    def ask(number):
        said = {v: _refusal(_with(config, name, v)) for v in _put(value, number)}
        found.update(said)
        return [text is None for text in said.values()]

    candidates = WHOLE if kind is int else REAL
    answers = [ask(number) for number in candidates]
    for (low, before), (high, after) in itertools.pairwise(
        zip(candidates, answers, strict=True)
    ):
        while before != after:
            middle = (low + high) // 2 if kind is int else (low + high) / 2
            if middle in (low, high) or high - low < 1e-9 * abs(high):
                break
            if ask(middle) == before:
                low = middle
            else:
                high = middle
    return found


def test_every_kind_of_setting_occurs():
    names = {name for _, name in CASES}
    assert {"seed", "stage2.optimizer.multipliers", "task.crop_area"} <= names
    assert {"stage1.epochs", "data.units_per_metre", "quantizer.levels"} <= names
    assert len(CASES) >= 70


@pytest.mark.parametrize("base", BASES)
def test_the_bases_are_good(base):
    assert _refusal(BASES[base]) is None


@pytest.mark.parametrize(("base", "name"), CASES)
def test_a_refusal_names_the_setting(base, name):
    answers = _answers(base, name)
    refused = [text for text in answers.values() if text is not None]
    assert len(refused) < len(answers) and len(refused) >= 3
    for text in refused:
        assert name in text and text.endswith(".") and "\n" not in text
    value, kind = next((v, k) for each, v, k in _numbers(BASES[base]) if each == name)
    for number in NO_NUMBERS if kind is float else ():
        for changed in _put(value, number):
            assert name in (_refusal(_with(BASES[base], name, changed)) or "")


def _extremes(base: str, name: str) -> list[Any]:
    """The least and the largest values that the check takes."""
    taken = [value for value, text in _answers(base, name).items() if text is None]
    return [choose(taken) for choose in (min, max)]


TRACED = ("task", "quantizer", "stage1", "stage2", "evaluation", "seed")


@pytest.mark.parametrize("side", [0, 1], ids=["least", "largest"])
@pytest.mark.parametrize("base", ["depth", "vq"])
def test_extremes_together_build(base, side):
    """Each at its own extreme where the others, so far, allow it."""
    config = BASES[base]
    for name, *_ in _numbers(config):
        known = (base, name) if (base, name) in CASES else None
        if known is None or not name.startswith(TRACED):
            continue
        changed = _with(config, name, _extremes(base, name)[side])
        config = config if _refusal(changed) else changed
    _build(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "name"), [case for case in CASES if case[1].startswith(TRACED)]
)
def test_extremes_alone_build(base, name):
    # A stage's own settings are built with that stage alone: tracing takes long.
    only = name.partition(".")[0] if name.startswith("stage") else None
    for value in _extremes(base, name):
        _build(_with(BASES[base], name, value), only)


def _build(config: RunConfig, only: str | None = None) -> None:
    """Everything that the settings make, as shapes, and a step of both stages, or of one."""
    evaluation = config.evaluation
    Sampling(evaluation.temperature, evaluation.top_k, evaluation.top_p)
    if isinstance(config.task, PanopticConfig) and not config.task.classes:
        config = replace(config, task__classes=2)  # As the data would tell.
    task = config.task.build()
    model = build.build_stage1(config, task)
    key = jax.random.key(config.seed)
    variables = jax.eval_shape(lambda key: build.init_stage1(model, task, key), key)
    bound = build.head_chunk_bytes(config)
    loss = stage1_loss(model, task.loss, chunk_bytes=bound)
    if only != "stage2":
        _trace(config, 1, loss, codebook_update(model), variables, {})
    if only == "stage1" or isinstance(config.quantizer, IdentityConfig):
        return
    code_model = build.build_stage2(config)
    shapes = jax.eval_shape(lambda key: build.init_stage2(code_model, key), key)
    code_loss = stage2_loss(code_model, target_encoder(model))
    _trace(config, 2, code_loss, lambda kept, *_: kept, shapes, variables)


def _trace(config, number, loss, update, variables, frozen):
    stage = config.stage1 if number == 1 else config.stage2
    steps = stage.total_steps(100)
    optimizer, rate = build.build_optimizer(stage, steps)
    step = make_step(
        loss,
        update,
        optimizer,
        rate,
        batch_size=stage.batch_size,
        seed=config.seed,
        micro_batches=stage.micro_batches,
        average_decay=stage.average_decay,
    )
    variables = dict(variables)
    params = variables.pop("params")
    averaged = stage.average_decay > 0
    state = jax.eval_shape(
        lambda p, v: create_state(p, v, optimizer, averaged=averaged), params, variables
    )
    jax.eval_shape(step, state, frozen, _batch(config, stage.batch_size))


def _batch(config: RunConfig, size: int) -> dict[str, jax.ShapeDtypeStruct]:
    task = config.task.build()
    continuous = jnp.issubdtype(task.plane_dtype, jnp.floating)
    last = sum(task.channels.values()) if continuous else len(task.channels)
    shape = (size, *config.task.image_size)
    return {
        "image": jax.ShapeDtypeStruct((*shape, 3), jnp.uint8),
        "planes": jax.ShapeDtypeStruct((*shape, last), task.plane_dtype),
    }
