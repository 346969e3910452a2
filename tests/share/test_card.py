"""Model cards: what is known is told, in words and numbers that are right."""

import ast
import shlex

import jax
import numpy as np
import pytest

from uvim_fsq.configs import colorization, depth, panoptic
from uvim_fsq.markup import markdown
from uvim_fsq.runs.open import expected_variables
from uvim_fsq.settings import TfdsConfig, replace
from uvim_fsq.share.bundle import write_model

CONFIG = depth.get_config("fsq", "tiny")


def variables(config):
    """Of both stages, all 0."""
    return {
        name: jax.tree.map(
            lambda x: np.zeros(x.shape, x.dtype), expected_variables(config, name)
        )
        for name in ("stage1", "stage2")
    }


def card(folder):
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["my model", "it's", 'a "b"', "-x", "a;b$c", "*a*"])
def test_code_of_a_card_runs_whatever_the_name(name, tmp_path):
    stages = variables(CONFIG)
    write_model(tmp_path / name, CONFIG, stages, {})
    text = card(tmp_path / name)
    python, bash = (text.split(f"```{kind}\n")[1].split("```")[0] for kind in _CODE)
    (call,) = [
        node for node in ast.walk(ast.parse(python)) if isinstance(node, ast.Call)
    ][:1]
    assert ast.literal_eval(call.args[0]) == name
    for line in bash.splitlines():
        words = shlex.split(line, comments=True)
        assert words[:1] == ["uvim-fsq"] and words[2] in (name, f"./{name}")
        assert not words[2].startswith("-")
    assert f"# {markdown(name)}\n" in text


_CODE = ("python", "bash")


@pytest.mark.parametrize("module", [depth, panoptic, colorization])
@pytest.mark.parametrize("variant", ["fsq", "vq_no_split_no_context"])
def test_model_cards(module, variant, tmp_path):
    yaml = pytest.importorskip("yaml")
    config = module.get_config(variant, "tiny")
    if module is panoptic:
        config = replace(config, task__classes=18)
    stages = variables(config)
    write_model(tmp_path / "my model", config, stages, {"steps": {"stage1": 1234}})
    text = card(tmp_path / "my model")
    _, front, body = text.split("---\n", 2)
    facts = yaml.safe_load(front)
    assert facts["library_name"] == "uvim-fsq" and "license" not in facts
    assert (
        facts["pipeline_tag"]
        == {
            depth: "depth-estimation",
            panoptic: "image-segmentation",
            colorization: "image-to-image",
        }[module]
    )
    assert {"uvim", variant.split("_")[0]} <= set(facts["tags"])
    count = sum(x.size for x in jax.tree.leaves(stages["stage1"]["params"]))
    for piece in (
        f"| stage I | {count:,} parameters; width 32, 1 + 1 layers, patches of 8 x 8",
        "step 1,234",
        "uvim-fsq predict 'my model' picture.jpg",
        "16 rendered rooms of 16 x 16 pixels",
        "Not scored yet.",
        "Every picture is resized to 16 x 16 pixels",
        "FSQ, " if variant == "fsq" else "without codebook splitting",
        "encoder and decoder see the picture" if variant == "fsq" else "does not see",
        "temperature 1," if module is colorization else "greedily",
    ):
        assert piece in body, piece
    assert "None" not in text and "nan" not in text


def report(**scores):
    evaluation = {"temperature": 0.7, "top_k": 5, "top_p": 0.9, "seed": 1, "list": "a"}
    return {
        "scores": scores,
        "pictures": 1449,
        "part": "validation",
        "evaluation": evaluation,
    }


def test_scores_in_a_card(tmp_path):
    names = ("constant", "stage1", "greedy", "mean_of_16")
    values = dict(zip(names, (1.25, 0.5, 0.75, 0.625), strict=True))
    scores = {f"{name}/rmse": value for name, value in values.items()}
    scores |= {"greedy/delta1": 0.875, "codebook/bits_per_index": 3.0}
    scores |= {"codebook/bits_per_image": 48.0}
    write_model(
        tmp_path / "model", CONFIG, variables(CONFIG), {"scores": report(**scores)}
    )
    text = card(tmp_path / "model")
    for piece in (
        "**rmse of the whole (greedy): 0.750 m; stage I alone: 0.500 m; without a model: 1.250 m**",
        "Of 1,449 pictures of the validation part of the data, those in the list `a`:",
        "| prediction | rmse, m | delta1 |\n| --- | ---: | ---: |",
        "| whole: greedy | 0.750 | 0.875 |",
        "| whole: mean of 16 samples | 0.625 | - |",
        "at temperature 0.7 among the 5 likeliest indices among the likeliest indices that",
        "costs 48 bits, 3.00 an index",
    ):
        assert piece in text, piece
    assert "no better" not in text


def test_a_card_says_if_the_model_is_of_no_use(tmp_path):
    scores = {"per_pixel_mean/rmse": 1.0, "constant/rmse": 2.0, "greedy/rmse": 1.5}
    write_model(
        tmp_path / "model", CONFIG, variables(CONFIG), {"scores": report(**scores)}
    )
    text = card(tmp_path / "model")
    assert "no better than a predictor that uses no model" in text
    assert "(per-pixel mean of the training targets)" in text


def test_where_weights_started_is_in_the_card(tmp_path):
    config = replace(
        CONFIG,
        data=TfdsConfig("nyu_depth_v2"),
        init_from="runs/before",
        stage2__pretrained_encoder="gs://vit_models/a.npz",
    )
    details = {
        "source": "Imported.",
        "codebook_usage": {"usage": 0.5, "indices": 640.0},
    }
    write_model(tmp_path / "model", config, variables(config), details)
    text = card(tmp_path / "model")
    for piece in (
        "`nyu_depth_v2` of TensorFlow Datasets, split `train`",
        "started from those of `before`",
        "started from `gs://vit_models/a.npz`",
        "| weights | Imported. |",
        "50.0% of the codewords over 640 indices (training pictures)",
    ):
        assert piece in text, piece
