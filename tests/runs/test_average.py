"""Both stages trained with an average of the weights, in micro-batches, rematerialized."""

import itertools
import json

import jax
import numpy as np
import pytest

from uvim_fsq.configs.depth import get_config
from uvim_fsq.models.uvim import build
from uvim_fsq.models.uvim.build import FrozenStage1
from uvim_fsq.models.uvim.objectives import target_encoder
from uvim_fsq.models.uvim.validation import stage1_validation, stage2_validation
from uvim_fsq.runs import job
from uvim_fsq.runs.directory import tree_hash
from uvim_fsq.runs.load import load_frozen_stage1, load_inference
from uvim_fsq.runs.open import open_trained
from uvim_fsq.runs.train import train
from uvim_fsq.settings import ConfigError, replace
from uvim_fsq.training.state import TrainState
from uvim_fsq.training.writers import TensorBoard, read_json_lines

STAGES = ("stage1", "stage2/seed_0")


@pytest.fixture(scope="module")
def config():
    config = replace(get_config("vq", "tiny"), output__checkpoint_every=2)
    for stage in ("stage1", "stage2"):
        changes = dict(micro_batches=2, average_decay=0.9, steps=4)
        changes |= dict(model__rematerialize="everything")
        config = replace(config, **{f"{stage}__{k}": v for k, v in changes.items()})
    return config


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "averaged"
    train(config, folder)
    return folder


def last_state(directory):
    """What the last checkpoint holds, by part."""
    import orbax.checkpoint as ocp

    step = max(int(p.name) for p in (directory / "checkpoints").iterdir())
    tree = ocp.StandardCheckpointer().restore(
        directory / "checkpoints" / str(step) / "state"
    )
    return jax.tree.map(np.asarray, tree)


def assert_same(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_the_average_is_what_is_used(run, config):
    first, second = (last_state(run / stage) for stage in STAGES)
    for state in (first, second):
        moved = jax.tree.map(
            lambda a, p: np.abs(a - p).max(), state["average"], state["params"]
        )
        assert np.median(jax.tree.leaves(moved)) > 1e-5
    inference = load_inference(open_trained(run))
    assert_same(inference.variables1["params"], first["average"])
    assert_same(inference.params2, second["average"])
    frozen = load_frozen_stage1(open_trained(run), config)
    assert_same(frozen.variables["params"], first["average"])
    metadata = run / "stage2/seed_0/checkpoints/4/metadata/metadata"
    record = json.loads(metadata.read_text())["stage1"]
    assert record["hash"] == tree_hash(frozen.variables)


def test_an_interrupted_run_continues_to_the_bit(run, config, tmp_path, monkeypatch):
    """It ends in the middle of either stage, after a checkpoint and a step that is lost."""
    loader = job.training_batches

    class Killed(BaseException):
        """No error, after which the run would be saved."""

    def failing(*args, **options):
        start = options["start_step"]
        batches = loader(*args, **options)
        yield from itertools.islice(batches, 3 if start == 0 else None)
        if start == 0:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(job, "training_batches", failing)
        for _ in STAGES:
            with pytest.raises(Killed):
                train(config, tmp_path)
    train(config, tmp_path)
    for stage in STAGES:
        lines = read_json_lines(tmp_path / stage / "metrics.jsonl")
        assert "validation/loss" in lines[-1]
        assert_same(last_state(tmp_path / stage), last_state(run / stage))


def test_another_decay_is_refused(run, config):
    for decay in (0.0, 0.99):
        with pytest.raises(
            ConfigError, match=f"average_decay is 0.9 there and {decay} here"
        ):
            train(replace(config, stage2__average_decay=decay), run)


def test_a_given_models_weights_are_the_first_average(run, config, tmp_path):
    """Nothing moves at this rate: what comes out is what went in, the average of the given model."""
    optimizer = dict(learning_rate=1e-30, weight_decay=0.0)
    still = replace(
        config,
        init_from=str(run),
        stage1__optimizer=replace(config.stage1.optimizer, **optimizer),
    )
    train(still, tmp_path / "run", stages=(1,))
    state = last_state(tmp_path / "run" / "stage1")
    given = last_state(run / "stage1")
    assert_same(state["params"], given["average"])
    assert_same(state["average"], given["average"])


class Kept(TensorBoard):
    """Keeps the last picture beside writing it."""

    def image(self, step, name, image):
        self.last = image
        super().image(step, name, image)


def test_validation_takes_the_average(run, config, tmp_path):
    """Losses, codebook usage and pictures, of weights beside which the parameters are NaN."""
    task, source = config.task.build(), config.data.open("validation")
    stage1 = load_frozen_stage1(open_trained(run), config)
    for number, stage in enumerate(STAGES, start=1):
        saved = last_state(run / stage)
        lost = jax.tree.map(lambda x: np.full_like(x, np.nan), saved["params"])
        used = saved["average"]
        collections = saved["collections"]
        state = TrainState(saved["step"], lost, collections, {}, used)
        validation = _validation(number, config, task, stage1, source)
        with Kept(tmp_path / str(number)) as writer:
            found = validation(state, stage1.variables, writer)
            seen = writer.last
            plain = TrainState(saved["step"], used, collections, {})
            assert validation(plain, stage1.variables, writer) == found
            np.testing.assert_array_equal(seen, writer.last)
        last = read_json_lines(run / stage / "metrics.jsonl")[-1]
        for name, value in found.items():
            assert value == pytest.approx(last[f"validation/{name}"], rel=1e-5), name
        assert ("codebook_usage" in found) == (number == 1)


def _validation(number, config, task, stage1: FrozenStage1, source):
    watched = job.watched_of(config, source)
    if number == 1:
        return stage1_validation(config, task, stage1.model, watched)
    encode = target_encoder(stage1.model)
    model = build.build_stage2(config)
    return stage2_validation(config, task, stage1, model, encode, watched)
