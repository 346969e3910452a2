"""A few steps of either stage at the tiny size, as training takes them, under any settings.

Run as a program it takes them on several devices and writes what came out.
"""

import argparse
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from uvim_fsq.configs.depth import get_config
from uvim_fsq.models.uvim import build as objects
from uvim_fsq.models.uvim.objectives import codebook_update, target_encoder
from uvim_fsq.models.uvim.stage1.objective import stage1_loss
from uvim_fsq.models.uvim.stage2.objective import stage2_loss
from uvim_fsq.settings import replace
from uvim_fsq.training.state import create_state
from uvim_fsq.training.step import make_step

BATCH = 16
DECAY, MIN_COUNT = 0.5, 0.3
"""Codewords that are not used in the first two steps are replaced after the second."""


def settings(variant, dtype="float32", rematerialize="cheap"):
    config = get_config(variant, "tiny")
    if variant != "fsq":
        quantizer = dict(decay=DECAY, min_count=MIN_COUNT, commitment_weight=0.1)
        config = replace(config, quantizer=replace(config.quantizer, **quantizer))
    for stage in ("stage1", "stage2"):
        model = getattr(config, stage).model
        model = replace(model, dtype=dtype, rematerialize=rematerialize)
        rate = dict(optimizer__learning_rate=0.01, steps=10, warmup_steps=0)
        rate |= dict(model=model, batch_size=BATCH, optimizer__clip_norm=1.0)
        config = replace(config, **{stage: replace(getattr(config, stage), **rate)})
    return replace(config, stage1__model__code_dropout="none")


def noisy(params, key=5):
    """Noise in every array: fresh heads are zero, and give nothing else a gradient."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(key), len(leaves))
    pairs = zip(leaves, keys, strict=True)
    return tree.unflatten([a + 0.1 * jax.random.normal(k, a.shape) for a, k in pairs])


def batches(task, count):
    generator = np.random.default_rng(0)
    (classes,) = task.channels.values()
    shape = (BATCH, *task.image_size)
    for _ in range(count):
        planes = generator.integers(0, classes, (*shape, 1))
        yield {
            "image": generator.integers(0, 256, (*shape, 3), np.uint8),
            "planes": planes.astype(task.plane_dtype),
        }


def build(stage, variant, micro_batches=1, average_decay=0.0, **model_settings):
    """(step, state, frozen, task) before the first step."""
    config = settings(variant, **model_settings)
    task = config.task.build()
    stage1 = objects.build_stage1(config, task)
    frozen = {}
    variables = dict(
        jax.jit(lambda key: objects.init_stage1(stage1, task, key))(jax.random.key(0))
    )
    variables["params"] = noisy(variables["params"])
    if stage == 1:
        loss = stage1_loss(stage1, task.loss, chunk_bytes=2**20)
        update = codebook_update(stage1)
    else:
        stage2 = objects.build_stage2(config)
        loss = stage2_loss(stage2, target_encoder(stage1))
        frozen = variables
        init = jax.jit(lambda key: objects.init_stage2(stage2, key))
        variables = {"params": noisy(init(jax.random.key(1))["params"])}

        def update(collections, statistics, key):
            del statistics, key
            return collections

    chosen = config.stage1 if stage == 1 else config.stage2
    optimizer, rate = objects.build_optimizer(chosen, 10)
    step = make_step(
        loss,
        update,
        optimizer,
        rate,
        batch_size=BATCH,
        seed=0,
        micro_batches=micro_batches,
        average_decay=average_decay,
    )
    state = create_state(
        variables.pop("params"), variables, optimizer, averaged=average_decay > 0
    )
    return step, step.replicate(state), step.replicate(frozen), task


def run(stage, variant, steps, **changes):
    """Arrays by name after each step: parameters, average, codebook, metrics."""
    step, state, frozen, task = build(stage, variant, **changes)
    results = []
    for batch in batches(task, steps):
        state, metrics = step(state, frozen, step.put(batch))
        tree = {
            "params": state.params,
            "average": state.average,
            "codebook": state.collections,
            "metrics": metrics,
        }
        results.append(
            {
                jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(x)
                for path, x in jax.tree_util.tree_leaves_with_path(tree)
            }
        )
    return results


def main():
    """Writes the arrays of every step into OUTPUT.npz."""
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=Path)
    parser.add_argument("devices", type=int)
    parser.add_argument("settings", type=json.loads)
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", options.devices)
    results = run(**options.settings)
    assert jnp.zeros(()).device is not None and jax.device_count() == options.devices
    named = {f"{i}/{k}": v for i, step in enumerate(results) for k, v in step.items()}
    np.savez(options.output, **named)


if __name__ == "__main__":
    main()
