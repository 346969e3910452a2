"""`uvim-fsq export`: what it writes, what it says, and what it refuses."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from uvim_fsq.cli.main import main
from uvim_fsq.configs.depth import get_config
from uvim_fsq.runs.open import expected_variables, open_trained
from uvim_fsq.share.bundle import write_model

CONFIG = get_config("vq", "tiny")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """A bundle with both stages, untrained, and one with stage I alone."""
    folder = tmp_path_factory.mktemp("bundles")
    stages = {
        name: jax.tree.map(
            lambda x: np.zeros(x.shape, x.dtype), expected_variables(CONFIG, name)
        )
        for name in ("stage1", "stage2")
    }
    details = {"steps": {"stage1": 3, "stage2": 4}, "stage2_seed": 2}
    write_model(folder / "whole", CONFIG, stages, details)
    del stages["stage2"]
    write_model(folder / "half", CONFIG, stages, {"source": "Elsewhere."})
    return folder


def test_a_model_becomes_a_bundle(bundles, tmp_path, capsys):
    output = tmp_path / "models" / "depth"
    assert main(["export", str(bundles / "whole"), "--output", str(output)]) == 0
    said = capsys.readouterr().out
    first, *files, command = said.splitlines()
    assert first.startswith(f"{output}: stage I, ") and "step 3; stage II" in first
    assert first.endswith("step 4, seed 2")
    assert [line.split()[0] for line in files] == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert command.split()[:3] == ["uvim-fsq", "predict", str(output)]
    assert open_trained(output).details()["stage2_seed"] == 2


def test_stage_one_alone(bundles, tmp_path, capsys):
    output = tmp_path / "half"
    assert main(["export", str(bundles / "half"), "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert "stage II," not in said and "seed" not in said
    assert f"train CONFIG --stage1 {output}" in said


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["{folder}/whole", "--output", "{folder}/half"], "is there already"),
        (["{folder}/whle", "--output", "new"], "did you mean {folder}/whole?"),
        (
            ["{folder}/whole", "--output", "new", "--stage2-seed", "7"],
            "stage II of seed 2, and seed 7",
        ),
        (["{folder}/whole", "--output", "new", "--stage2-sed", "7"], "--stage2-seed?"),
        (["{folder}/whole"], "--output"),
    ],
)
def test_what_is_refused(bundles, tmp_path, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(tmp_path)
    words = [word.format(folder=bundles) for word in words]
    try:
        code = main(["export", *words])
    except SystemExit as error:
        code = error.code
    assert code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and sentence.format(folder=bundles) in said
    assert not (tmp_path / "new").exists()


def test_help_is_light():
    code = (
        "import sys; from uvim_fsq.cli.main import main\n"
        "try: main(['export', '--help'])\n"
        "except SystemExit: print(sorted({'jax', 'flax', 'safetensors'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.rstrip().endswith("[]") and "--stage2-seed" in result.stdout
