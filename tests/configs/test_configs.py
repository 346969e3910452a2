"""Every configuration, built at full size without memory, and trained for a step when tiny."""

import dataclasses
import functools
import itertools
import re
from pathlib import Path

import jax
import pytest

from uvim_fsq.configs import base, colorization, depth, panoptic
from uvim_fsq.configs.variants import VARIANTS
from uvim_fsq.models.uvim import build
from uvim_fsq.runs.train import train
from uvim_fsq.settings import (
    ConfigError,
    FSQConfig,
    PanopticConfig,
    RunConfig,
    StageConfig,
    VQConfig,
    replace,
)
from uvim_fsq.settings.check import check
from uvim_fsq.settings.find import load_config

TASKS = {"depth": depth, "panoptic": panoptic, "colorization": colorization}
FULL_SIZE = ("paper", "single_gpu", "small")
SMALLER = [preset for preset in depth.PRESETS if preset not in FULL_SIZE]

# Parameters of stage I by task and side of the picture: FSQ, VQ, and both without context. With VQ
# at 512 px, the public code has as many; it does not count the codebook either.
STAGE1 = {
    ("depth", 512): (231_076_869, 232_249_600, 229_895_685, 231_068_416),
    ("panoptic", 512): (222_421_253, 223_593_984, 221_240_069, 222_412_800),
    ("colorization", 512): (131_528_453, 132_701_184, 130_347_269, 131_520_000),
    ("depth", 256): (229_897_221, 231_069_952, 228_716_037, 229_888_768),
    ("panoptic", 256): (221_241_605, 222_414_336, 220_060_421, 221_233_152),
    ("colorization", 256): (130_348_805, 131_521_536, 129_167_621, 130_340_352),
}
# Of stage II, whatever the task: FSQ, VQ.
STAGE2 = {512: (716_301_592, 715_729_921), 256: (205_967_384, 205_538_561)}


def _config(task: str, preset: str, variant: str) -> RunConfig:
    config = TASKS[task].get_config(variant, preset)
    if preset == "folder":
        config = replace(config, data__path="folder")
        if task == "panoptic":  # The data tells how many there are.
            config = replace(config, task__classes=134)
    return config


def _stage1_shapes(config: RunConfig):
    if isinstance(config.quantizer, VQConfig):  # Splitting has no say in shapes.
        config = replace(config, quantizer__splitting=True)
    return _init_stage1(config.task, config.quantizer, config.stage1.model)


def _stage2_shapes(config: RunConfig):
    size = config.quantizer.build().codebook_size
    length = config.stage1.model.code_length
    return _init_stage2(config.task.image_size, size, length, config.stage2.model)


@functools.cache
def _init_stage1(task_config, quantizer, model_config):
    config = RunConfig(task=task_config, quantizer=quantizer)
    task = task_config.build()
    model = build.build_stage1(replace(config, stage1__model=model_config), task)
    key = jax.random.key(0)
    return jax.eval_shape(lambda key: build.init_stage1(model, task, key), key)


@functools.cache
def _init_stage2(image_size, codebook_size, code_length, model_config):
    config = replace(
        RunConfig(quantizer=VQConfig(codebook_size)),
        task__image_size=image_size,
        stage1__model__code_length=code_length,
        stage2__model=model_config,
    )
    model = build.build_stage2(config)
    key = jax.random.key(0)
    return jax.eval_shape(lambda key: build.init_stage2(model, key), key)


def _count(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def _optimizer_fits(stage: StageConfig, params) -> None:
    optimizer, rate = build.build_optimizer(stage, 100_000)
    # Raises if a multiplier's pattern matches no parameter.
    state = jax.eval_shape(optimizer.init, params)
    assert _count(state) > _count(params)  # The average, and second moments.
    assert rate(stage.warmup_steps) == stage.optimizer.learning_rate


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("preset", FULL_SIZE)
@pytest.mark.parametrize("task", TASKS)
def test_full_size(task, preset, variant):
    config = _config(task, preset, variant)
    check(config)
    variables = _stage1_shapes(config)
    side = config.task.image_size[0]
    is_vq, no_context = variant.startswith("vq"), variant.endswith("no_context")
    assert _count(variables["params"]) == STAGE1[task, side][is_vq + 2 * no_context]
    assert ("codebook" in variables) == is_vq
    _optimizer_fits(config.stage1, variables["params"])

    params = _stage2_shapes(config)["params"]
    assert _count(params) == STAGE2[side][is_vq]
    _optimizer_fits(config.stage2, params)


@pytest.mark.parametrize("variant", ["fsq", "vq_no_context"])
@pytest.mark.parametrize("preset", SMALLER)
@pytest.mark.parametrize("task", TASKS)
def test_smaller_presets(task, preset, variant):
    config = _config(task, preset, variant)
    check(config)
    _optimizer_fits(config.stage1, _stage1_shapes(config)["params"])
    params = _stage2_shapes(config)["params"]
    _optimizer_fits(config.stage2, params)
    vocabulary = build.build_stage2(config).vocabulary_size
    assert params["logits"]["kernel"].shape[-1] == vocabulary


def test_classes_of_a_folder_are_not_known_before_it_is_read():
    config = panoptic.get_config("fsq", "folder")
    with pytest.raises(ConfigError, match="give --task.classes"):
        _stage1_shapes(config)


def _block(width, mlp, attentions, bias):
    """Of a transformer: attentions and an MLP, each behind a LayerNorm."""
    attention = 4 * (width * width + bias * width)
    norms = 2 * width * (attentions + 1)
    return attentions * attention + norms + width * mlp + mlp + mlp * width + width


def _stage1_by_hand(side, values, code_dim, contexts):
    """`values`: classes of all channels, or numbers per pixel; a channel is one of both."""
    width, mlp, positions, pixels = 768, 3072, (side // 16) ** 2, 256
    total = 0
    for classes in values:
        total += classes * pixels * width + width  # Embedding.
        total += width * classes * pixels + classes * pixels  # Head.
    total += 2 * positions * width + contexts * (3 * pixels * width + width)
    total += (6 + 12) * _block(width, mlp, 1, bias=1) + 2 * 2 * width
    return total + width * code_dim + code_dim + code_dim * width + width


def _stage2_by_hand(side, width, layers, mlp, length, vocabulary):
    positions = (side // 16) ** 2
    encoder = 3 * 256 * width + width + positions * width
    encoder += layers * _block(width, mlp, 1, bias=1) + 2 * width
    decoder = vocabulary * width + length * width
    decoder += layers * _block(width, mlp, 2, bias=0) + 2 * width
    return encoder + decoder + width * vocabulary + vocabulary


def test_parameters_by_hand():
    """The numbers above, added up from the sizes in the papers."""
    channels = {"depth": (256,), "panoptic": (134, 100), "colorization": (3,)}
    for (task, side), counts in STAGE1.items():
        for count, (contexts, code_dim) in zip(
            counts, itertools.product((2, 0), (5, 768)), strict=True
        ):
            assert count == _stage1_by_hand(side, channels[task], code_dim, contexts)
    for side, size, length in (
        (512, (1024, 24, 4096), 256),
        (256, (768, 12, 3072), 64),
    ):
        assert STAGE2[side] == tuple(
            _stage2_by_hand(side, *size, length, codewords + 1)
            for codewords in (7 * 5**4, 4096)
        )


def _differences(one, other, prefix="") -> set[str]:
    """Names of the settings that two configurations differ in."""
    names = set()
    for field in dataclasses.fields(one):
        values = getattr(one, field.name), getattr(other, field.name)
        if values[0] == values[1]:
            continue
        name = prefix + field.name
        inner = dataclasses.is_dataclass(values[0])
        names |= _differences(*values, f"{name}.") if inner else {name}
    return names


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("task", TASKS)
def test_single_gpu_is_the_published_training(task, variant):
    """Up to rounding and code dropout's draw."""
    paper, single = (_config(task, preset, variant) for preset in FULL_SIZE[:2])
    may_differ = {"model.dtype", "model.attention", "model.rematerialize"}
    may_differ.add("micro_batches")
    found = {name.partition(".")[2] for name in _differences(paper, single)}
    assert {"model.dtype", "micro_batches"} <= found <= may_differ


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_a_variant_changes(variant):
    config, fsq = depth.get_config(variant, "paper"), depth.get_config("fsq", "paper")
    if variant.startswith("vq"):
        splitting = "no_split" not in variant
        assert config.quantizer == VQConfig(4096, 768, splitting=splitting)
    else:
        assert config.quantizer == FSQConfig((7, 5, 5, 5, 5))
    context = not variant.endswith("no_context")
    model = config.stage1.model
    assert (model.encoder_context, model.decoder_context) == (context, context)
    # And nothing else.
    same = dict(quantizer=fsq.quantizer, stage1__model=fsq.stage1.model)
    assert replace(config, **same) == fsq
    contexts = {"encoder_context", "decoder_context"}
    assert _differences(model, fsq.stage1.model) == (set() if context else contexts)


def test_pretrained_encoders_only_where_they_fit():
    """ViT-L/16 and ViT-B/16; the models that are smaller than either start from scratch."""
    for task, module in TASKS.items():
        for preset, config in module.PRESETS.items():
            stage2, name = config.stage2, config.stage2.pretrained_encoder
            if preset not in FULL_SIZE:
                assert (name, stage2.optimizer.multipliers) == ("", ()), (task, preset)
                continue
            size = {"L": (1024, 24, 4096, 16), "B": (768, 12, 3072, 12)}
            letter = name.removeprefix("gs://vit_models/augreg/").split("_16-i21k")[0]
            model = stage2.model
            assert model.patch_size == (16, 16) and size[letter] == (
                model.width,
                model.encoder_depth,
                model.mlp_width,
                model.num_heads,
            )
            assert {f for _, f in stage2.optimizer.multipliers} == {0.1}


def test_with_task_keeps_the_picture():
    config = base.with_task(base.FOLDER, PanopticConfig(classes=5), seed=3)
    assert config.task == PanopticConfig((64, 64), classes=5, crop_area=(0.4, 1.0))
    assert config == replace(base.FOLDER, task=config.task, seed=3)


def test_the_example_of_a_configuration_of_ones_own(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    (text,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    (tmp_path / "robot.py").write_text(text)
    for variant, preset in itertools.product(VARIANTS, ("try", "long")):
        config, name = load_config(str(tmp_path / "robot.py"), variant, preset)
        check(config)
        assert name == f"robot-{variant}-{preset}"
    assert load_config(str(tmp_path / "robot.py"))[0].seed == 1


def test_numbers_of_parameters_in_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    for (task, side), counts in STAGE1.items():
        size = "512 px" if side == 512 else "`small`"
        row = " | ".join([f"| {task}, {size}", *(f"{n:,}" for n in counts)])
        assert row in page
    for count in itertools.chain(*STAGE2.values()):
        assert f"{count:,}" in page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "variant"),
    [
        *(("depth", variant) for variant in VARIANTS),
        *itertools.product(("panoptic", "colorization"), ("fsq", "vq")),
    ],
)
def test_a_step_of_both_stages(task, variant, tmp_path):
    config = replace(
        _config(task, "tiny", variant),
        stage1__steps=1,
        stage2__steps=1,
        stage1__warmup_steps=0,
        stage2__warmup_steps=0,
        output__pictures=0,
    )
    train(config, tmp_path / "run")
    assert (tmp_path / "run" / "stage1" / "done.json").exists()
    assert (tmp_path / "run" / "stage2" / "seed_0" / "done.json").exists()
