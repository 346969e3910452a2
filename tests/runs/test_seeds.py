"""Seeds: every value of the range gives other random numbers, whatever JAX's settings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import uvim_fsq
from uvim_fsq.fields import SEED_LIMIT
from uvim_fsq.models.uvim.inference import Inference
from uvim_fsq.models.uvim.stage1.model import Stage1Model
from uvim_fsq.models.uvim.stage2.model import Stage2Model
from uvim_fsq.models.uvim.stage2.sampling import Sampling
from uvim_fsq.quantizers import FSQ
from uvim_fsq.runs.train import train
from uvim_fsq.settings import ConfigError
from uvim_fsq.tasks.depth.task import DepthTask
from uvim_fsq.training.step import _key_words

SEEDS = (0, 1, 2**31 - 1, 2**31, 2**31 + 1, SEED_LIMIT)
SIZES = dict(
    image_size=(16, 16),
    patch_size=(8, 8),
    width=16,
    encoder_depth=1,
    decoder_depth=1,
    mlp_width=16,
    num_heads=2,
    code_length=9,
)


@pytest.fixture(scope="module")
def inference():
    image = jnp.zeros((1, 16, 16, 3))
    stage2 = Stage2Model(codebook_size=1000, **SIZES)
    params = stage2.init(jax.random.key(0), image, jnp.zeros((1, 9), jnp.int32))
    stage1 = Stage1Model(channels={"depth": 8}, quantizer=FSQ((8, 5, 5, 5)), **SIZES)
    return Inference(DepthTask((16, 16), bins=8), stage1, {}, stage2, params["params"])


def codes(inference, seed):
    image = np.zeros((1, 16, 16, 3), np.uint8)
    hashes = np.array([2**32 - 5], np.uint32)
    samples = inference.sample(image, hashes, Sampling(1.0), seed=seed)
    return tuple(np.asarray(samples.indices).ravel())


def test_samplers_differ(inference):
    assert len({codes(inference, seed) for seed in SEEDS}) == len(SEEDS)


def test_training_keys_differ_and_do_not_depend_on_64_bits():
    keys = [tuple(np.asarray(_key_words(seed))) for seed in SEEDS]
    assert len(set(keys)) == len(SEEDS)
    with jax.enable_x64(True):
        assert [tuple(np.asarray(_key_words(seed))) for seed in SEEDS] == keys


@pytest.mark.parametrize("seed", [-1, SEED_LIMIT + 1])
def test_others_are_refused_before_anything_is_written(
    tiny_run, tiny_config, tmp_path, seed
):
    with pytest.raises(ConfigError, match=f"--stage2-seed must be .* found {seed}"):
        train(tiny_config, tmp_path / "run", stage2_seed=seed)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match=f"^seed must be .* found {seed}"):
        uvim_fsq.load(tiny_run, seed=seed)
