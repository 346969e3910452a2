"""Published checkpoints as models of this package, and back."""

import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import uvim_fsq
from uvim_fsq.cli.main import main
from uvim_fsq.configs.colorization import get_config as colorization
from uvim_fsq.configs.depth import get_config as depth
from uvim_fsq.configs.panoptic import get_config as panoptic
from uvim_fsq.data.categories import COCO_CATEGORIES
from uvim_fsq.data.images import read_image
from uvim_fsq.errors import WeightsError
from uvim_fsq.models.uvim.stage2.sampling import Sampling
from uvim_fsq.runs.held import hold
from uvim_fsq.runs.load import load_inference
from uvim_fsq.runs.open import expected_variables, open_trained
from uvim_fsq.settings import ConfigError, IdentityConfig, replace
from uvim_fsq.share.bundle import write_model
from uvim_fsq.share.export_big_vision import export_big_vision, public_arguments
from uvim_fsq.share.import_big_vision import import_checkpoints, inspect
from uvim_fsq.weights.big_vision.names import STAGE1_NAMES, STAGE2_NAMES, publish
from uvim_fsq.weights.big_vision.sizes import Hints
from uvim_fsq.weights.npz import read_npz

# The public code's own eager and jitted logits differ by up to 1.5e-5.
TOLERANCE = 5e-5
# What the arrays of each do not tell, and the stage II that fits.
VARIANTS = {
    "panoptic": ("panoptic", None, ["--code-length", 4]),
    "depth_noctx": ("depth", None, ["--code-length", 16]),
    "panoptic_noresize": ("panoptic", None, ["--image-size", 32, 48]),
    "color": ("colorization", "learn", []),
    "color_wide": (
        "colorization",
        "sincos2d",
        ["--image-size", 32, 48, "--code-length", 16],
    ),
}


def run(command, *words) -> int:
    return main([command, *map(str, words)])


@pytest.fixture(scope="session")
def published(golden_path):
    """`published("color")`: the checkpoints of a variant and the options that they need."""

    def paths(name):
        task, stage2, options = VARIANTS[name]
        files = [f"stage1/{name.removesuffix('_wide')}_ckpt.npz"]
        files += [f"stage2/{stage2}_ckpt.npz"] if stage2 else []
        return [golden_path(file) for file in files], ["--task", task, *options]

    return paths


@pytest.fixture(scope="session")
def imported(published, tmp_path_factory):
    """`imported("color")`: the bundle of a variant, made from the command line."""
    made = {}

    def bundle(name) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp("imported") / name
            files, options = published(name)
            assert run("import-big-vision", *files, *options, "--output", folder) == 0
            made[name] = folder
        return made[name]

    return bundle


def random_variables(config, stage):
    generator = np.random.default_rng(len(stage))
    return jax.tree.map(
        lambda leaf: generator.normal(size=leaf.shape).astype(np.float32),
        expected_variables(config, stage),
    )


def random_bundle(folder, config, stages=("stage1", "stage2")) -> Path:
    """Of a model that was never trained."""
    variables = {stage: random_variables(config, stage) for stage in stages}
    write_model(folder, config, variables, {})
    return folder


def random_checkpoint(path, config, names) -> Path:
    """A published file of such a model."""
    stage = "stage1" if names is STAGE1_NAMES else "stage2"
    np.savez(path, **dict(publish(random_variables(config, stage), names)))
    return path


@pytest.fixture(scope="module")
def tiny_vq(tmp_path_factory):
    """A bundle of both stages of a VQ model."""
    folder = tmp_path_factory.mktemp("random") / "vq"
    return random_bundle(folder, depth("vq", "tiny"))


@pytest.mark.parametrize("name", VARIANTS)
def test_import_and_export_give_the_same_to_the_bit(
    name, imported, published, golden_path, tmp_path
):
    folder = tmp_path / "exported"
    written = export_big_vision(open_trained(imported(name)), folder)
    files, _ = published(name)
    names = ["model.json", "stage1.npz", "stage2.npz"][: 1 + len(files)]
    assert [path.name for path in written] == names == sorted(names)
    for theirs, ours in zip(files, written[1:], strict=True):
        expected, found = read_npz(theirs), read_npz(ours)
        assert found.keys() == expected.keys()
        for array in expected:
            assert found[array].dtype == expected[array].dtype == np.float32
            np.testing.assert_array_equal(found[array], expected[array], array)
    described = json.loads((folder / "model.json").read_text())
    assert described["task"] == VARIANTS[name][0]
    if described["task"] == "depth":
        assert (described["min_depth"], described["max_depth"]) == (0.001, 10)
    wide = name.endswith("_wide")
    stages = {"stage1": name.removesuffix("_wide"), "stage2": VARIANTS[name][1]}
    for stage, variant in stages.items():
        assert (stage in described) == bool(variant)
        if variant and not (wide and stage == "stage1"):
            configs = json.loads(golden_path(f"{stage}/configs.json").read_text())
            model = configs[variant]["model"]
            assert described[stage] == with_defaults(stage, model)


def with_defaults(stage, model):
    if stage == "stage1":
        model = {"posemb": "learn", **model}
        model["mlp_dim"] = model["mlp_dim"] or 4 * model["width"]
        model["codeword_dim"] = model["codeword_dim"] or model["width"]
    return model


@pytest.mark.parametrize("name", [name for name in VARIANTS if "wide" not in name])
def test_stage1_of_the_bundle_is_the_published_one(name, imported, golden):
    inference = load_inference(hold(open_trained(imported(name)), stage1_only=True))
    arrays = golden(f"stage1/{name}.npz")
    image, labels = arrays["in/image"], arrays["in/labels"]
    if VARIANTS[name][0] == "depth":
        planes = np.stack([inference.task.encode(target[..., 0]) for target in labels])
    elif VARIANTS[name][0] == "panoptic":
        order = {"semantics": 0, "instances": 1}
        channels = [order[channel] for channel in inference.stage1.channels]
        planes = labels[..., channels]
    else:
        planes = labels
    np.testing.assert_array_equal(inference.encode(image, planes), arrays["out/code"])
    code = jnp.asarray(arrays["out/code"])
    outputs = inference.stage1.apply(
        inference.variables1, code, jnp.asarray(image), method="decode"
    )
    for channel, logits in outputs.items():
        expected = arrays[f"out/decode_logits/{channel}"]
        np.testing.assert_allclose(logits, expected, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["color", "color_wide"])
def test_stage2_of_the_bundle_is_the_published_one(name, imported, golden):
    inference = load_inference(open_trained(imported(name)))
    arrays = golden(f"stage2/{VARIANTS[name][1]}.npz")
    image, tokens = arrays["in/image"], arrays["in/tokens"]
    assert inference.stage2 is not None
    logits = inference.stage2.apply(
        {"params": inference.params2}, jnp.asarray(image), jnp.asarray(tokens) - 1
    )
    np.testing.assert_allclose(logits, arrays["out/logits"], atol=TOLERANCE)
    expected = arrays["greedy/sequences"][:, 0]
    samples = inference.sample(image, np.arange(len(image)), Sampling(temperature=0.0))
    # The public sampler can draw the start token, 0; ours never does. Compare up to there.
    legal = np.cumprod(expected != 0, axis=-1).astype(bool)
    assert legal.mean() > 0.9
    found = np.asarray(samples.indices[:, 0]) + 1
    np.testing.assert_array_equal(found[legal], expected[legal])


def test_the_bundle_predicts_on_pictures(imported, real_data):
    model = uvim_fsq.load(imported("color"))
    pictures = sorted(real_data("photos/resized320").glob("*.*"))[:3]
    sizes = set()
    for picture in pictures:
        size = read_image(picture).shape
        prediction = model.predict(picture)
        assert prediction.shape == size and prediction.dtype == np.uint8
        assert prediction.std() > 0
        sizes.add(size)
    assert len(sizes) > 1


def test_settings_are_told_from_the_arrays(imported, published, capsys):
    config = open_trained(imported("panoptic_noresize")).config
    assert config.task.image_size == (32, 48) and config.task.categories == ()
    assert (config.task.classes, config.task.instances) == (7, 5)
    assert (config.quantizer.codebook_size, config.quantizer.code_dim) == (32, 16)
    model = config.stage1.model
    assert (model.code_length, model.resize) == (6, "learned")
    assert (model.encoder_context, model.decoder_context) == (True, False)
    assert (model.encoder_depth, model.decoder_depth) == (1, 2)
    assert (model.width, model.num_heads, model.mlp_width) == (32, 4, 64)
    trained = open_trained(imported("color_wide"))
    assert trained.stage2() is not None
    assert trained.config.stage1.model.positions == "sincos2d"
    assert trained.config.stage2.model.positions == "sincos2d"
    assert open_trained(imported("color")).config.stage2.model.positions == "learned"
    assert "color_ckpt.npz and sincos2d_ckpt.npz" in trained.details()["source"]


def test_what_was_found_is_told(published, tmp_path, capsys):
    files, options = published("depth_noctx")
    arrays = dict(np.load(files[0]))
    arrays |= {"opt/0/count": np.int64(7), "opt/1/mu": np.zeros(3), "chrono/x": 1.0}
    np.savez(tmp_path / "one.npz", **arrays)
    settings = ["--task.max-depth", 20, "--task.crop", "none"]
    words = [tmp_path / "one.npz", "--task", "depth", "--output", tmp_path / "model"]
    assert run("import-big-vision", *words, *settings) == 0
    told = capsys.readouterr().out
    for text in (
        "depth, 10 bins from 0.001 to 20 m",
        "48 x 48 pixels",
        "32 codewords of 16",
        "2 + 2 layers of width 32",
        "shown to neither side; 95,952 parameters",
        "assumed   a code of 256 positions",
        "ignored   chrono/ (1), opt/ (2), of one.npz",
        f"Next: uvim-fsq evaluate {tmp_path / 'model'} --stage1-only",
    ):
        assert text in told
    config = open_trained(tmp_path / "model").config
    assert config.task.max_depth == 20 and config.stage1.model.code_length == 256
    assert config.task.crop == "none"


def test_a_random_model_goes_there_and_back(tiny_vq, tmp_path):
    first = open_trained(tiny_vq)
    export_big_vision(first, tmp_path / "public")
    files = [tmp_path / "public" / f"stage{i}.npz" for i in (1, 2)]
    words = ["--task", "depth", "--output", tmp_path / "back"]
    assert run("import-big-vision", *files, *words) == 0
    second = open_trained(tmp_path / "back")
    for before, after in [
        (first.stage1(), second.stage1()),
        (first.stage2(), second.stage2()),
    ]:
        assert before is not None and after is not None
        assert jax.tree.all(
            jax.tree.map(np.array_equal, before.variables, after.variables)
        )
        assert before.record["hash"] == after.record["hash"]
    assert public_arguments(first.config) == public_arguments(second.config)


def test_old_spellings_and_bfloat16_are_read(published, tmp_path, imported):
    files, options = published("panoptic")
    arrays = {
        name.replace("params/encoder/", "params/Encoder/").replace(
            "params/decoder/", "params/Decoder/"
        ): array
        for name, array in np.load(files[0]).items()
    }
    half = np.asarray(jnp.asarray(arrays["params/head_semantics/bias"], jnp.bfloat16))
    arrays["params/head_semantics/bias"] = half
    np.savez(tmp_path / "old.npz", **arrays)
    words = [tmp_path / "old.npz", *options, "--output", tmp_path / "old"]
    assert run("import-big-vision", *words) == 0
    found = open_trained(tmp_path / "old").stage1().variables["params"]
    plain = open_trained(imported("panoptic")).stage1().variables["params"]
    bias = found["head_semantics"].pop("bias")
    np.testing.assert_array_equal(bias, half.astype(np.float32))
    del plain["head_semantics"]["bias"]
    assert jax.tree.all(jax.tree.map(np.array_equal, found, plain))


@pytest.fixture(scope="module")
def coco_file(tmp_path_factory):
    """A stage I with as many classes as COCO."""
    folder = tmp_path_factory.mktemp("coco")
    config = replace(panoptic("vq", "tiny"), task__classes=134, task__instances=3)
    return random_checkpoint(folder / "stage1.npz", config, STAGE1_NAMES)


def _categories(count):
    return [
        {"id": 3 * i + 1, "name": f"sort {i}", "isthing": i % 2, "color": [i, 0, 0]}
        for i in range(count)
    ]


def test_categories(coco_file, tmp_path, capsys):
    words = ["import-big-vision", coco_file, "--task", "panoptic", "--code-length", 4]
    # With an override, which must not lose the categories.
    output = ["--output", tmp_path / "coco", "--task.min-fraction", 0.01]
    assert run(*words, *output) == 0
    task = open_trained(tmp_path / "coco").config.task
    names = [category.name for category in COCO_CATEGORIES]
    assert [c.name for c in task.categories] == names and task.min_fraction == 0.01
    assert task.classes == 134 and "133 named" in capsys.readouterr().out
    for number, content in enumerate(
        (_categories(133), {"categories": _categories(133)})
    ):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(content))
        output = tmp_path / f"own{number}"
        assert run(*words, "--output", output, "--categories", file) == 0
        category = open_trained(output).config.task.categories[1]
        assert (category.id, category.name, category.isthing) == (4, "sort 1", True)
        assert category.color == (1, 0, 0)


@pytest.mark.parametrize(
    "content, says",
    [
        (json.dumps(_categories(7)), "134 classes.* 7 categories: expected 133"),
        ("[", "no JSON"),
        ("[]", "empty list"),
        (json.dumps([{"id": 1}]), "isthing"),
        (json.dumps(_categories(1) * 133), "listed twice"),
        (json.dumps({"images": []}), "categories"),
    ],
)
def test_categories_that_do_not_fit(coco_file, tmp_path, content, says, capsys):
    (tmp_path / "some.json").write_text(content)
    words = ["--task", "panoptic", "--categories", tmp_path / "some.json"]
    words += ["--output", tmp_path / "model"]
    refused(["import-big-vision", coco_file, *words], says, tmp_path, capsys)


def refused(words, says, folder, capsys):
    """One sentence, and nothing written."""
    before = sorted(folder.rglob("*"))
    assert run(*words) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and re.search(says, message), message
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "files, options, says",
    [
        (["1/color"], ["depth"], "predicts color.*expects depth: give --task color"),
        (["1/depth_noctx"], ["panoptic"], "expects instances and semantics"),
        (["2/learn", "1/color"], ["colorization"], "give stage I first"),
        (["2/learn"], ["colorization"], "give its stage I first"),
        (["1/color", "1/color"], ["colorization"], "a stage I too"),
        (["1/color"] * 3, ["colorization"], "found 3"),
        (["1/color"], ["colorization"], "give --image-size"),
        (["1/panoptic_noresize"], ["panoptic"], "24 patches of 8 x 8.*no square"),
        (
            ["1/color", "2/learn"],
            ["colorization", "--image-size", 32, 48],
            "learn_ckpt.npz has 16 patches.* 32 x 48",
        ),
        (["1/panoptic"], ["panoptic", "--image-size", 64, 64], "do not make up"),
        (
            ["1/panoptic_noresize", "2/sincos2d"],
            ["panoptic", "--image-size", 32, 48, "--code-length", 16],
            "codes of 6 positions, and --code-length is 16",
        ),
        (
            ["1/panoptic_noresize", "2/learn"],
            ["panoptic", "--image-size", 32, 32],
            "panoptic_noresize_ckpt.npz has 24 patches",
        ),
        (["1/panoptic"], ["panoptic", "--patch-size", 4, 16], "8 x 8.*found 4 x 16"),
        (["1/depth_noctx"], ["depth", "--patch-size", 4, 8], "found 4 x 8"),
        (["1/panoptic"], ["panoptic", "--code-length", 5], "square number"),
        (["1/color", "2/learn"], ["colorization", "--categories", "x"], "no such file"),
        (
            ["1/color", "2/learn"],
            ["colorization", "--stage2.model.width", 64],
            r"params/decoder/EncDecBlock0.* \(params/decoder_layers.* here\).*in learn_ckpt",
        ),
        (["1/panoptic"], ["panoptic", "--code-lenth", 4], "did you mean --code-length"),
    ],
)
def test_files_that_do_not_fit(files, options, says, golden_path, tmp_path, capsys):
    paths = [golden_path(f"stage{name}_ckpt.npz") for name in files]
    words = ["--task", *options, "--output", tmp_path / "model"]
    refused(["import-big-vision", *paths, *words], says, tmp_path, capsys)


@pytest.mark.parametrize(
    "changes, says",
    [
        (dict(quantizer__codebook_size=30), "31 tokens .*codebook of 25: .* 26;"),
        (dict(stage1__model__code_length=9), "one.npz has codes of 4 .*two.npz of 9"),
        (dict(task__image_size=(24, 24)), "two.npz has 9 patches of 8 x 8.*16 x 16"),
    ],
)
def test_stages_of_two_models(changes, says, tmp_path, capsys):
    one = replace(depth("vq", "tiny"), quantizer__codebook_size=25)
    one = replace(one, stage1__model__resize="learned")
    files = [
        random_checkpoint(tmp_path / "one.npz", one, STAGE1_NAMES),
        random_checkpoint(tmp_path / "two.npz", replace(one, **changes), STAGE2_NAMES),
    ]
    words = ["--task", "depth", "--output", tmp_path / "model"]
    refused(["import-big-vision", *files, *words], says, tmp_path, capsys)


def test_patches_that_are_not_square(tmp_path):
    """Without contexts they are those of stage II, or as said."""
    config = replace(
        colorization("vq", "tiny"),
        stage1__model__patch_size=(4, 8),
        stage1__model__encoder_context=False,
        stage1__model__decoder_context=False,
        stage2__model__patch_size=(4, 8),
    )
    one = random_checkpoint(tmp_path / "one.npz", config, STAGE1_NAMES)
    two = random_checkpoint(tmp_path / "two.npz", config, STAGE2_NAMES)
    paper = colorization("vq", "paper")
    for files, hints in [([one, two], Hints()), ([one], Hints(patch_size=(4, 8)))]:
        found = inspect(files, paper, hints).config
        assert found.stage1.model.patch_size == (4, 8)
        assert found.task.image_size == (16, 16)
    with pytest.raises(ConfigError, match="--patch-size"):
        inspect([one], paper)


def test_files_are_given_by_path_or_address(tmp_path, tiny_vq, capsys):
    one, two = export_big_vision(open_trained(tiny_vq), tmp_path / "public")[1:]
    words = ["--task", "depth", "--output", tmp_path / "model"]
    assert run("import-big-vision", f"file://{one}", two, *words) == 0
    assert "image shown to encoder and decoder;" in capsys.readouterr().out
    source = open_trained(tmp_path / "model").details()["source"]
    assert source.endswith("big_vision: stage1.npz and stage2.npz.")
    found = inspect([one, two], replace(depth("vq", "paper"), checkpoint="best"))
    assert found.config.checkpoint == "last"
    addresses = ["gs://big_vision/one.npz", "https://some.where/two.npz?key=secret"]
    import_checkpoints(found, found.config, tmp_path / "other", addresses)
    source = open_trained(tmp_path / "other").details()["source"]
    assert "gs://big_vision/one.npz and https://some.where/two.npz." in source
    words[-1] = tmp_path / "none"
    refused(
        ["import-big-vision", tmp_path / "three.npz", *words],
        "three.npz is no file",
        tmp_path,
        capsys,
    )


def test_nothing_is_overwritten(tiny_vq, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    output = ["--output", tmp_path / "there"]
    refused(["export-big-vision", tiny_vq, *output], "there already", tmp_path, capsys)
    words = ["import-big-vision", tmp_path / "any.npz", "--task", "depth", *output]
    refused(words, "there already", tmp_path, capsys)


def test_what_the_public_code_does_not_know_is_refused(tmp_path, tiny_vq, capsys):
    config = depth("fsq", "tiny")
    fsq = random_bundle(tmp_path / "fsq", config, ["stage1"])
    words = ["export-big-vision", fsq, "--output", tmp_path / "public"]
    refused(words, "quantizer is fsq.*know vq only", tmp_path, capsys)
    with pytest.raises(ConfigError, match="identity"):
        public_arguments(replace(config, quantizer=IdentityConfig()))
    uneven = replace(depth("vq", "tiny"), stage2__model__encoder_depth=2)
    with pytest.raises(ConfigError, match="2 encoder and 1 decoder layers"):
        public_arguments(uneven)


def test_a_failed_export_leaves_nothing(tiny_vq, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError):
        export_big_vision(open_trained(tiny_vq), tmp_path / "public")
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_is_left_out_half_is_refused(tiny_vq, tmp_path):
    export_big_vision(open_trained(tiny_vq), tmp_path / "public")
    arrays = read_npz(tmp_path / "public/stage1.npz")
    del arrays["params/decoder/encoder_norm/scale"]
    np.savez(tmp_path / "less.npz", **arrays)
    found = inspect([tmp_path / "less.npz"], depth("vq", "paper"))
    with pytest.raises(
        WeightsError, match="less.npz lacks params/decoder/encoder_norm/scale .*norm"
    ):
        import_checkpoints(found, found.config, tmp_path / "model", ["less.npz"])
    assert not (tmp_path / "model").exists()
