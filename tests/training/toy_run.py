"""A small run with everything a stage has: params, a collection, randomness, `frozen`.

Run as a program it trains in a directory, resumes by itself, and prints the digest of
the final state; the tests kill it at bad moments.
"""

import argparse
import functools
import hashlib
import json
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from uvim_fsq.training.checkpoint import Checkpoints
from uvim_fsq.training.hooks import Hook, checkpoint_hook
from uvim_fsq.training.loop import run_loop
from uvim_fsq.training.optimizer import adafactor, make_optimizer
from uvim_fsq.training.schedule import cosine
from uvim_fsq.training.signals import Interrupted
from uvim_fsq.training.state import create_state
from uvim_fsq.training.step import data_mesh, make_step, replicated

BATCH, WIDTH = 16, 40
SCHEDULED = 8  # steps of the learning-rate schedule


def loss_function(params, collections, frozen, batch, key):
    """Regression on noisy inputs through one hidden layer, and counts of signs."""
    x = batch["x"] + 0.1 * jax.random.normal(key, batch["x"].shape)
    hidden = jnp.tanh(x @ params["hidden"]["kernel"] + params["hidden"]["bias"][None])
    hidden = hidden + 0.01 * collections["sums"][None] / collections["count"]
    error = hidden @ params["out"]["kernel"] - frozen["teacher"] * batch["y"]
    loss = jnp.mean(jnp.square(error))
    statistics = {
        "sums": jax.lax.stop_gradient(hidden.sum(0)),
        "count": jnp.float32(len(x)),
    }
    return loss, (statistics, {"error": jnp.mean(jnp.abs(error))})


def update_collections(collections, statistics, key):
    """Running sums with decay, and a little noise from the key."""
    new = jax.tree.map(lambda old, s: 0.9 * old + s, collections, statistics)
    noise = 0.01 * jax.random.normal(key, new["sums"].shape)
    return {"sums": new["sums"] + noise, "count": new["count"]}


def parameters():
    """The same start for every run."""
    keys = jax.random.split(jax.random.key(0), 2)
    params = {
        "hidden": {
            "kernel": 0.2 * jax.random.normal(keys[0], (WIDTH, 48)),
            "bias": jnp.zeros(48),
        },
        "out": {"kernel": 0.2 * jax.random.normal(keys[1], (48, 36))},
    }
    return params, {"sums": jnp.zeros(48), "count": jnp.ones(())}


FROZEN = {"teacher": np.float32(0.5)}


def batches(position: int):
    """Endless; batch i is a function of i alone."""
    while True:
        generator = np.random.default_rng((7, position))
        x = generator.normal(size=(BATCH, WIDTH)).astype(np.float32)
        yield {"x": x, "y": np.sin(x[:, :36])}
        position += 1


@functools.lru_cache
def _step(total_steps: int, **changes):
    optimizer = make_optimizer(
        adafactor(),
        learning_rate=0.05,
        schedule=cosine(total_steps, 2),
        weight_decay=1e-3,
        clip_norm=1.0,
    )
    settings = {"batch_size": BATCH, "seed": 3} | changes
    step = make_step(
        loss_function, update_collections, optimizer, cosine(total_steps, 2), **settings
    )
    return step, optimizer


def toy_step(total_steps: int = SCHEDULED, **changes):
    """(step, new state on its devices) of the toy run; steps are compiled once."""
    step, optimizer = _step(total_steps, **changes)
    averaged = changes.get("average_decay", 0) > 0
    state = create_state(*parameters(), optimizer, averaged=averaged)
    return step, step.replicate(state)


def digest(state) -> str:
    """A hash of every bit of the state."""
    text = hashlib.sha256()
    for path, x in jax.tree_util.tree_leaves_with_path(state):
        text.update(jax.tree_util.keystr(path).encode())
        text.update(np.asarray(x).tobytes())
    return text.hexdigest()


def train(directory, total_steps: int, *, hooks=(), **more):
    """Trains to `total_steps`, from the checkpoint if there is one."""
    step, state = toy_step(SCHEDULED, **more)
    with Checkpoints(directory) as checkpoints:
        found = checkpoints.restore_latest(state, replicated(step.mesh))
        state = found[0] if found else state
        return run_loop(
            step,
            state,
            batches(int(state.step)),
            total_steps=total_steps,
            frozen=FROZEN,
            hooks=[*hooks, checkpoint_hook(checkpoints, every=1)],
            last_good=checkpoints.last_good,
        )


def main() -> int:
    """Prints a line per step and the digest at the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--average", type=float, default=0.0)
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", options.devices)

    def tell(number, state, metrics):
        print(json.dumps({"step": number}), flush=True)
        time.sleep(options.pause)

    try:
        state = train(
            options.directory,
            options.steps,
            hooks=[Hook("tell", 1, tell)],
            mesh=data_mesh(),
            average_decay=options.average,
        )
    except Interrupted as error:
        print(error, file=sys.stderr)
        return error.exit_code
    out = {k: np.asarray(v).tolist() for k, v in state.weights["out"].items()}
    devices = len(state.step.sharding.device_set)
    print(json.dumps({"digest": digest(state), "out": out, "devices": devices}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
