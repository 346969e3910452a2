"""What a configuration costs, as described: counts, arithmetic, refusals, what is printed."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.cli.main import main
from uvim_fsq.configs import colorization, depth, panoptic
from uvim_fsq.cost import flops
from uvim_fsq.cost.describe import Machine, describe
from uvim_fsq.cost.parameters import count, parameters_by_part
from uvim_fsq.cost.report import print_description
from uvim_fsq.cost.shapes import shape_models
from uvim_fsq.models.uvim.stage2.sampling import Sampling, sample
from uvim_fsq.settings import (
    ConfigError,
    DepthConfig,
    FolderConfig,
    FSQConfig,
    IdentityConfig,
    RunConfig,
    ScenesConfig,
    replace,
)
from uvim_fsq.training.step import BatchSizeError

FLOP_TOLERANCE = 0.02
"""As in `test_flops`: the compiler also counts elementwise work."""


@pytest.mark.parametrize(
    ("config", "stage1"),
    [
        (depth.get_config("vq", "paper"), 232_249_600),
        (panoptic.get_config("vq", "paper"), 223_593_984),
        (colorization.get_config("vq", "paper"), 132_701_184),
        (depth.get_config("fsq", "paper"), 231_076_869),
    ],
    ids=["depth", "panoptic", "colorization", "depth fsq"],
)
def test_parameters_of_the_published_models(config, stage1):
    models = shape_models(config)
    counts = [count(stage.params) for stage in models.stages]
    assert counts[0] == stage1
    if models.autoencoder.quantizer.codebook_size == 4096:
        assert counts[1] == 715_729_921
        assert count(models.stage1.collections) == 4096 * (768 + 1)
    for stage, whole in zip(models.stages, counts, strict=True):
        parts = parameters_by_part(stage.params)
        assert sum(parts.values()) == whole
        # Every module has a part's name of its own; none is shown as it is called.
        assert not set(parts) & {name for name in stage.params if "_" in name}


def small(**changes) -> RunConfig:
    """Widths at which matrix products dominate, small enough to compile in seconds."""
    config = RunConfig(
        task=DepthConfig((32, 32), bins=128),
        data=ScenesConfig((32, 32), train_count=100),
        quantizer=FSQConfig((8, 6, 5)),
    )
    for name in ("stage1", "stage2"):
        model = replace(
            getattr(config, name).model,
            width=256,
            mlp_width=1024,
            num_heads=4,
            encoder_depth=2,
            decoder_depth=1,
            patch_size=(4, 4),
        )
        stage = replace(
            getattr(config, name), model=model, batch_size=2, steps=10, warmup_steps=1
        )
        config = replace(config, **{name: stage})
    whole = dict(stage1__model__code_length=16, stage1__model__head_memory_mb=1000)
    return replace(config, **(whole | changes))


def compiled_flops(function, *arguments) -> float:
    compiled = jax.jit(function).lower(*arguments).compile()
    return compiled.cost_analysis()["flops"] / 2


def unrolled(models):
    """The same models with their layers written out, as the compiler has to see them."""
    import dataclasses

    stages = [
        dataclasses.replace(stage, model=stage.model.clone(unroll=2))
        for stage in models.stages
    ]
    return dataclasses.replace(models, stage1=stages[0], stage2=stages[1])


def loss_flops(models, stage) -> float:
    loss_function = models.loss_function(stage)

    def run(params, collections, frozen, batch):
        def loss(params):
            key = jax.random.key(0)
            return loss_function(params, collections, frozen, batch, key)

        return jax.value_and_grad(loss, has_aux=True)(params)

    return compiled_flops(
        run, stage.params, stage.collections, stage.frozen, models.batch(2)
    )


@pytest.mark.parametrize("name", ["stage1", "stage2"])
def test_training_is_what_the_compiler_counts(name):
    config = small(stage1__model__rematerialize="nothing")
    config = replace(config, stage2__model__rematerialize="nothing")
    models = unrolled(shape_models(config))
    described = describe(config, Machine())[name]["training"]["flops_per_image"]
    if name == "stage2":  # The compiled scores above the diagonal are not needed.
        half = flops.stage2_decoder(models.code_model)["causal self-attention"]
        described += flops.FORWARD_AND_BACKWARD * half
    compiled = loss_flops(models, getattr(models, name))
    assert described <= compiled <= (1 + FLOP_TOLERANCE) * described


def test_predicting_is_what_the_compiler_counts():
    """The compiler takes the loop over positions once, that is as one decoder step."""
    config = small()
    parts = describe(config, Machine())["prediction"]["parts"]
    models = unrolled(shape_models(config))
    model = models.code_model
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), (2, 1)))
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    compiled = compiled_flops(
        lambda params, image, keys: sample(model, params, image, keys, Sampling(0.0)),
        models.stages[1].params,
        image,
        keys,
    )
    half = flops.stage2_decoder(model)["causal self-attention"]
    described = parts["encode the image"] + (parts["sample the code"] + half) / 16
    assert described <= compiled <= (1 + FLOP_TOLERANCE) * described
    compiled = compiled_flops(
        lambda variables, indices, image: models.autoencoder.apply(
            variables, indices, image, method="decode"
        ),
        models.stage1.variables,
        jax.ShapeDtypeStruct((2, 16), jnp.int32),
        image,
    )
    assert parts["decode"] <= compiled <= (1 + FLOP_TOLERANCE) * parts["decode"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stage1", "stage2"])
def test_recomputation_is_what_the_compiler_counts_more(name):
    """Scanned, where nothing is merged; a scan is counted as one layer."""
    layers = {f"{stage}__model__encoder_depth": 1 for stage in ("stage1", "stage2")}
    counts, described = [], []
    for choice in ("nothing", "everything"):
        config = small(**layers, **{f"{name}__model__rematerialize": choice})
        models = shape_models(config)
        counts.append(loss_flops(models, getattr(models, name)))
        training = describe(config, Machine())[name]["training"]
        described.append(training["recomputed_per_image"])
        assert training["flops_per_image"] < counts[-1]
    assert described[0] == 0
    # The last product of each layer need not be computed again.
    assert 0.6 * described[1] <= counts[1] - counts[0] <= 1.05 * described[1]


def test_steps_time_and_devices():
    config = small(stage1__epochs=3.0, stage1__steps=None)
    training = describe(config, Machine(devices=2, tflops=2))
    one = training["stage1"]
    assert one["training"]["steps"] == 150  # 3 passes over 100 scenes, 2 at a time
    per_step = 2 * one["training"]["flops_per_image"]
    assert one["training"]["flops_per_step"] == pytest.approx(per_step, abs=2)
    assert one["training"]["flops"] == pytest.approx(150 * per_step, rel=1e-6)
    assert one["time"]["seconds_per_step"] == pytest.approx(per_step / 4e12)
    assert one["time"]["seconds"] == pytest.approx(150 * per_step / 4e12)
    assert training["stage2"]["training"]["steps"] == 10
    choices = one["memory"]["choices"]
    assert {choice["images_at_once"] for choice in choices.values()} == {1}


def test_the_number_of_examples_may_be_unknown():
    epochs = small(stage1__epochs=3.0, stage1__steps=None)
    folder = replace(epochs, data=FolderConfig())

    def training(config, examples):
        return describe(config, Machine(examples=examples, tflops=1))["stage1"]

    found = training(folder, None)
    assert found["training"]["steps"] is found["training"]["flops"] is None
    assert found["time"]["seconds"] is None
    assert training(folder, 50)["training"]["steps"] == 75
    assert training(epochs, 50)["training"]["steps"] == 75  # Given, whatever they are.


def test_without_a_codebook_there_is_no_stage_2(capsys):
    description = describe(replace(small(), quantizer=IdentityConfig()), Machine())
    assert description["stage2"] is None
    assert description["model"]["bits_per_image"] is None
    assert set(description["prediction"]["parts"]) == {"encode the target", "decode"}
    print_description(description)
    printed = capsys.readouterr().out
    assert "stage II is left out" in printed
    assert printed.count("stage II") == 1


@pytest.mark.parametrize(
    ("machine", "error", "message"),
    [
        (dict(devices=0), ConfigError, "--devices must be above 0, found 0"),
        (dict(tflops=-1), ConfigError, "--tflops must be above 0, found -1"),
        (dict(devices=3), BatchSizeError, "batch of 2 examples cannot be split"),
    ],
)
def test_what_cannot_be_is_refused(machine, error, message):
    with pytest.raises(error, match=message):
        describe(small(), Machine(**machine))


def run(capsys, *words) -> tuple[int, str, str]:
    code = main(["describe", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_prints_tables(capsys):
    code, out, _ = run(capsys, "depth", "--preset", "tiny", "--tflops", "0.01")
    assert code == 0
    for text in (
        "depth at 16 x 16 pixels; channels: depth (16 classes)",
        "code: 4 positions, of 25 codewords",
        "all parameters",
        "nothing: what surely fits 80 GB",
        "predicting 32 images at once takes",
        "images/s",
    ):
        assert text in out
    assert "--tflops" not in out


def test_the_command_prints_json_and_takes_settings(capsys):
    """The data need neither be there nor be named."""
    words = ("depth", "--preset", "folder", "--json", "--stage1.batch-size", "8")
    code, out, _ = run(capsys, *words)
    description = json.loads(out)
    assert code == 0
    assert description["model"]["image_size"] == [48, 64]
    assert description["stage1"]["time"] is None
    assert description["stage1"]["training"]["batch_size"] == 8
    parts = description["stage1"]["parameters"]["parts"]
    assert sum(parts.values()) == description["stage1"]["parameters"]["all"]
    chosen = description["stage1"]["memory"]["choices"]["cheap"]
    total = sum(chosen["held"].values()) + sum(chosen["passing"].values())
    assert total == chosen["total"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("panoptic", "--preset", "folder"), "give --task.classes"),
        (("depth", "--preset", "tiny", "--devise", "2"), "did you mean --devices"),
        (("depth", "--preset", "tiny", "--stage1.batch-size", "0"), "at least 1"),
    ],
)
def test_the_command_refuses_in_a_sentence(capsys, words, message):
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert message in err and err.count("\n") == 1


def test_nothing_is_allocated():
    before = {id(array) for array in jax.live_arrays()}
    models = shape_models(depth.get_config("vq", "paper"))
    arrays = jax.tree.leaves([stage.variables for stage in models.stages])
    assert all(isinstance(array, jax.ShapeDtypeStruct) for array in arrays)
    new = [array for array in jax.live_arrays() if id(array) not in before]
    assert sum(np.prod(array.shape) for array in new) < 10**6
