"""Code dropout: hides part of the guiding code while stage I trains.

The decoder learns to live with a partial code, so that stage II may err in places without
spoiling the whole prediction (UViM, section 3.3).
"""

import jax
import jax.numpy as jnp

from uvim_fsq.types import Array, Bool, Key

CODE_DROPOUT_KINDS = ("none", "random", "ordered")


def code_dropout_mask(
    kind: str,
    batch: int,
    code_length: int,
    threshold_key: Key,
    permutation_key: Key,
) -> Bool[Array, "b n"]:
    """Which code positions of each example survive.

    One threshold t per example, uniform in [0, 1); position i has importance
    `(n - i) / (n + 1)` and survives where that is above t. Hence the number of survivors is
    uniform. "ordered" keeps the leading positions, "random" permutes them in every example.
    """
    importance = jnp.arange(code_length, 0, -1) / (code_length + 1)
    threshold = jax.random.uniform(threshold_key, (batch,))
    mask = importance[None] > threshold[:, None]
    if kind == "random":
        return jax.random.permutation(permutation_key, mask, axis=-1, independent=True)
    if kind == "ordered":
        return mask
    raise ValueError(
        f"unknown code dropout {kind!r}: choose one of " + ", ".join(CODE_DROPOUT_KINDS)
    )
