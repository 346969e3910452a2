"""Learning-rate schedules: a factor of the peak learning rate as a function of the step."""

from collections.abc import Callable

import jax.numpy as jnp

from uvim_fsq.types import Array, Float, Int

Schedule = Callable[[Int[Array, ""] | int], Float[Array, ""]]
"""step -> factor. Step 0 is the first update; with a warm-up its factor is 0."""


def _progress(step, total_steps: int, warmup_steps: int) -> Float[Array, ""]:
    step = jnp.asarray(step, jnp.float32)
    return jnp.clip((step - warmup_steps) / (total_steps - warmup_steps), 0.0, 1.0)


def _warm_up(step, warmup_steps: int) -> Float[Array, ""]:
    step = jnp.asarray(step, jnp.float32)
    return jnp.minimum(1.0, step / warmup_steps) if warmup_steps else jnp.float32(1)


def _check(total_steps: int, warmup_steps: int) -> None:
    if total_steps < 1:
        raise ValueError(f"total_steps must be at least 1, got {total_steps}.")
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"warmup_steps must be in [0, total_steps), got {warmup_steps} of "
            f"{total_steps} steps: shorten the warm-up or train for longer."
        )


def cosine(total_steps: int, warmup_steps: int = 0) -> Schedule:
    """Linear warm-up from 0, then half a cosine wave down to 0.

    `min(1, step / warmup) * (1 + cos(pi * progress)) / 2` with
    `progress = clip((step - warmup) / (total - warmup), 0, 1)`.
    """
    _check(total_steps, warmup_steps)

    def factor(step: Int[Array, ""] | int) -> Float[Array, ""]:
        progress = _progress(step, total_steps, warmup_steps)
        decay = 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
        return decay * _warm_up(step, warmup_steps)

    return factor


def linear(total_steps: int, warmup_steps: int = 0, end: float | int = 0.0) -> Schedule:
    """Linear warm-up from 0, then a straight line down to `end`."""
    _check(total_steps, warmup_steps)

    def factor(step: Int[Array, ""] | int) -> Float[Array, ""]:
        progress = _progress(step, total_steps, warmup_steps)
        return (end + (1.0 - end) * (1.0 - progress)) * _warm_up(step, warmup_steps)

    return factor


def rsqrt(
    total_steps: int, warmup_steps: int = 0, timescale: int = 10_000, cooldown: int = 0
) -> Schedule:
    """Linear warm-up, `1 / sqrt(1 + steps since warm-up / timescale)`, linear cool-down.

    The cool-down takes the last `cooldown` steps to 0; without one the factor never
    reaches 0. Unlike the public UViM code it does not go below 0 after `total_steps`.
    """
    _check(total_steps, warmup_steps)

    def factor(step: Int[Array, ""] | int) -> Float[Array, ""]:
        step = jnp.asarray(step, jnp.float32)
        since = jnp.maximum(0.0, step - warmup_steps)
        value = _warm_up(step, warmup_steps) / jnp.sqrt(1.0 + since / timescale)
        if cooldown:
            value = value * jnp.clip((total_steps - step) / cooldown, 0.0, 1.0)
        return value

    return factor


def constant() -> Schedule:
    """The peak learning rate at every step."""
    return lambda step: jnp.float32(1.0)


def steps_from_epochs(epochs: float | int, examples: int, batch_size: int) -> int:
    """The number of steps that passes `epochs` times over `examples` examples.

    `round(epochs * examples / batch_size)`, at least 1 unless `epochs` is 0; halves
    round to even, as in the public UViM code.

    >>> steps_from_epochs(200, 45488, 1024)
    8884
    """
    if epochs < 0 or examples < 1 or batch_size < 1:
        raise ValueError(
            "expected epochs >= 0, examples >= 1 and batch_size >= 1, got "
            f"{epochs}, {examples} and {batch_size}."
        )
    return max(1, round(epochs * examples / batch_size)) if epochs else 0
