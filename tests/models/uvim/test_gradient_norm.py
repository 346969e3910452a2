"""The gradients' norm is taken of the heads' gradients as the optimizer has them, not of the chunks'."""

import re

import jax.numpy as jnp

from uvim_fsq.models.uvim.stage1.heads import head_loss
from uvim_fsq.nn.cross_entropy import softmax_cross_entropy
from uvim_fsq.training.optimizer import adafactor, make_optimizer
from uvim_fsq.training.schedule import constant
from uvim_fsq.training.state import create_state
from uvim_fsq.training.step import make_step

BATCH, TOKENS, WIDTH, CLASSES, CHUNKS, PIXELS = 2, 4, 64, 40, 4, 16
"""More than 32 along some axis: XLA cuts the sums over larger arrays alone into windows."""


def _loss(params, collections, frozen, batch, key):
    del collections, frozen, key

    def cross_entropy(outputs, planes):
        return {k: softmax_cross_entropy(outputs[k], planes[k]) for k in outputs}

    tokens = jnp.einsum("bpd,de->bpe", batch["tokens"], params["before"]["kernel"])
    planes = {"a": batch["planes"]}
    heads, weights = {"a": params["head"]}, jnp.ones(BATCH)
    total, _ = head_loss(
        cross_entropy, CHUNKS, jnp.float32, tokens, heads, planes, weights
    )
    return total, ({}, {})


def test_the_norm_reads_the_joined_gradients_of_the_heads():
    joined = CHUNKS * PIXELS
    optimizer = make_optimizer(
        adafactor(), learning_rate=0.01, schedule=constant(), clip_norm=1.0
    )
    step = make_step(
        _loss, lambda c, s, k: c, optimizer, constant(), batch_size=BATCH, seed=0
    )
    params = {
        "before": {"kernel": jnp.ones((WIDTH, WIDTH))},
        "head": {
            "kernel": jnp.zeros((WIDTH, CLASSES, joined)),
            "bias": jnp.zeros((CLASSES, joined)),
        },
    }
    batch = {
        "tokens": jnp.ones((BATCH, TOKENS, WIDTH)),
        "planes": jnp.zeros((BATCH, TOKENS, joined), jnp.int32),
    }
    state = create_state(params, {}, optimizer)
    text = step.jitted.lower(state, {}, batch, step._key).compile().as_text()
    by_chunk = f"f32[{CHUNKS},{WIDTH},{CLASSES},{PIXELS}]"
    assert by_chunk in text, "the heads' gradients are not made in chunks"
    # No other array has as many axes as a kernel's gradient whose pixels are still in chunks.
    windows = re.findall(r" reduce-window\(.*window=\{size=([\dx]+)", text)
    assert windows, "no sum is cut into windows: the test looks for what is no more"
    assert [w for w in windows if w.count("x") >= 3] == []
