"""The estimate of memory against what the compiler plans for the real training step.

Compiled for this machine's processors; a plan for an accelerator differs. The optimizer of machine
code is off, which changes no buffer and saves most of the time.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.cost.memory import TrainingMemory, layer, prediction_memory
from uvim_fsq.cost.shapes import shape_models
from uvim_fsq.models.uvim import build, inference
from uvim_fsq.models.uvim.objectives import codebook_update
from uvim_fsq.models.uvim.stage2.sampling import Sampling
from uvim_fsq.settings import (
    DepthConfig,
    FSQConfig,
    RunConfig,
    ScenesConfig,
    VQConfig,
    replace,
)
from uvim_fsq.training.state import abstract_state
from uvim_fsq.training.step import make_step

TOLERANCE = 0.15
"""Of what comes and goes within a step, and of how it grows with the images."""
FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def settings(
    width=128, heads=16, layers=3, batch=16, micro_batches=1, px=64, **changes
) -> RunConfig:
    """Depth at 64 px: small, yet activations outweigh the rest, and attention's scores the MLP."""
    config = RunConfig(
        task=DepthConfig((px, px), bins=32),
        data=ScenesConfig((px, px)),
        quantizer=FSQConfig((8, 6, 5)),
    )
    for name in ("stage1", "stage2"):
        model = replace(
            getattr(config, name).model,
            width=width,
            mlp_width=4 * width,
            num_heads=heads,
            encoder_depth=layers,
            decoder_depth=layers,
            patch_size=(8, 8),
        )
        stage = replace(
            getattr(config, name),
            model=model,
            batch_size=batch,
            micro_batches=micro_batches,
            steps=10,
            warmup_steps=1,
        )
        config = replace(config, **{name: stage})
    whole = dict(stage1__model__code_length=16, stage1__model__head_memory_mb=1)
    return replace(config, **(whole | changes))


def of_both(name: str, value: Any) -> dict[str, Any]:
    return {f"stage{number}__{name}": value for number in (1, 2)}


@functools.cache
def planned(config: RunConfig, number: int):
    """The compiler's plan for a stage's training step."""
    models = shape_models(config)
    stage = models.stages[number - 1]
    optimizer, rate = build.build_optimizer(stage.config, 10)
    update = (
        codebook_update(models.autoencoder)
        if number == 1
        else lambda collections, statistics, key: collections
    )
    step = make_step(
        models.loss_function(stage),
        update,
        optimizer,
        rate,
        batch_size=stage.config.batch_size,
        seed=0,
        micro_batches=stage.config.micro_batches,
        mesh=jax.make_mesh(
            (1,),
            ("data",),
            axis_types=(jax.sharding.AxisType.Auto,),
            devices=jax.devices()[:1],
        ),
    )
    state = abstract_state(stage.params, stage.collections, optimizer)
    batch = models.batch(stage.config.batch_size)
    key = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
    lowered = step.jitted.lower(state, stage.frozen, batch, key)
    return lowered.compile(compiler_options=FAST).memory_analysis()


def estimated(config: RunConfig, number: int):
    models = shape_models(config)
    stage = models.stages[number - 1]
    memory = TrainingMemory(models, stage)
    micro_batches = stage.config.micro_batches
    return memory.of(stage.config.batch_size // micro_batches, micro_batches)


def check(config: RunConfig, number: int) -> None:
    plan = planned(config, number).temp_size_in_bytes
    passing = sum(estimated(config, number).passing.values())
    assert passing == pytest.approx(plan, rel=TOLERANCE)


@pytest.mark.parametrize("number", [1, 2])
def test_a_step_takes_what_was_estimated(number):
    config = settings()
    check(config, number)
    # All that goes in is counted to the byte, but that the loop holds two batches, that the step
    # also takes its number and key, and that it does without the frozen decoder.
    held = estimated(config, number).held
    given = planned(config, number).argument_size_in_bytes
    batch = held["batch, and the next"] // 2
    if number == 1:
        assert sum(held.values()) - batch == pytest.approx(given, abs=64)
    else:
        without = sum(held.values()) - batch - held["frozen stage I"]
        assert without < given < sum(held.values())


CASES = {
    "few heads": dict(heads=4),
    "width and layers": dict(width=256, layers=6),
    "whole heads' logits": dict(stage1__model__head_memory_mb=64),
    "vq": dict(quantizer=VQConfig(256, 128)),
    "no context": dict(
        stage1__model__encoder_context=False, stage1__model__decoder_context=False
    ),
    "long code": dict(stage1__model__code_length=64),
    "micro-batches": dict(batch=32, micro_batches=4),
    "adamw": of_both("optimizer__name", "adamw"),
    "few images": dict(batch=2),
    "nothing": of_both("model__rematerialize", "nothing"),
    "everything": of_both("model__rematerialize", "everything"),
}


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_steps_of_many_kinds_take_what_was_estimated(case, number):
    check(settings(**CASES[case]), number)


@pytest.mark.slow
@pytest.mark.parametrize("rematerialize", ["nothing", "cheap", "everything"])
@pytest.mark.parametrize("number", [1, 2])
def test_growth_with_the_images(number, rematerialize):
    changes = of_both("model__rematerialize", rematerialize)
    few, many = (settings(batch=batch, **changes) for batch in (8, 32))
    growth = (
        planned(many, number).temp_size_in_bytes
        - planned(few, number).temp_size_in_bytes
    )
    expected = sum(estimated(many, number).passing.values()) - sum(
        estimated(few, number).passing.values()
    )
    assert expected == pytest.approx(growth, rel=TOLERANCE)


def test_the_residual_stream_is_four_bytes_wide_in_bfloat16_too():
    """Of its MLP a layer holds 7 arrays of the stream and 5 as wide as the MLP (see `layer`)."""
    whole, half = (
        shape_models(settings(heads=1, **of_both("model__dtype", dtype))).code_model
        for dtype in ("float32", "bfloat16")
    )
    tokens = 2 * 64
    found = [layer(model, 2, 64, 64) for model in (whole, half)]
    assert found[0] - found[1] == tokens * 5 * whole.mlp_width * 2
    assert found[1] == tokens * (7 * whole.width * 4 + 5 * whole.mlp_width * 2)


def test_each_choice_keeps_less():
    totals = [
        estimated(settings(**of_both("model__rematerialize", choice)), number).total
        for number in (1, 2)
        for choice in ("nothing", "cheap", "everything")
    ]
    assert totals[0] > totals[1] > totals[2]
    assert totals[3] > totals[4] > totals[5]


def test_frozen_parameters_have_no_gradient():
    config = settings()
    frozen = replace(config, stage2__optimizer__multipliers=(("encoder/.*", 0.0),))
    moved, still = (estimated(c, 2) for c in (config, frozen))
    models = shape_models(config)
    assert models.stage2 is not None
    encoder = sum(
        array.size * 4 for array in jax.tree.leaves(models.stage2.params["encoder"])
    )
    assert moved.passing["gradients"] - still.passing["gradients"] == encoder
    assert still.held["optimizer state"] < moved.held["optimizer state"]


def test_an_average_is_one_more_copy():
    config = settings()
    averaged = replace(config, stage1__average_decay=0.99)
    plain, more = (estimated(c, 1) for c in (config, averaged))
    assert more.total - plain.total == plain.held["weights"]


def test_what_fits_is_as_large_as_can_be():
    config = settings()
    models = shape_models(config)
    memory = TrainingMemory(models, models.stage1)
    budget = memory.of(8, 2).at_most

    def fitting(devices, budget):
        found = memory.fitting(16, devices, budget)
        return found and (found["images_at_once"], found["micro_batches"])

    assert fitting(1, budget) == (8, 2)
    assert fitting(1, budget - 1) == (4, 4)
    assert fitting(2, budget) == (8, 1)
    assert fitting(1, memory.of(1, 16).at_most - 1) is None
    whole = memory.of(16)
    assert (whole.fits(whole.at_most), whole.fits(whole.total)) == ("yes", "maybe")
    assert whole.fits(whole.total - 1) == "no"


@pytest.mark.slow
@pytest.mark.parametrize("batch", [8, 32])
def test_prediction_takes_what_was_estimated(batch):
    models = shape_models(settings(width=256))
    assert models.stage2 is not None
    image = models.batch(batch)["image"]
    hashes = np.zeros(batch, np.uint32)
    indices = jax.ShapeDtypeStruct((batch, 16), jnp.int32)
    programs = [
        inference._sample.lower(
            *(models.code_model, Sampling(0.0), 1, models.stage2.params),
            *(image, hashes, 0),
        ),
        inference._decode.lower(
            *(models.autoencoder, models.task, models.chunk_bytes),
            *(models.stage1.variables, indices, image),
        ),
    ]
    plans = [
        program.compile(compiler_options=FAST).memory_analysis().temp_size_in_bytes
        for program in programs
    ]
    memory = prediction_memory(models, batch)
    assert sum(memory.passing.values()) == pytest.approx(max(plans), rel=0.25)
