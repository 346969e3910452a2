import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from uvim_fsq.nn.transformer import is_stacked
from uvim_fsq.training.adafactor import factored_axes
from uvim_fsq.training.optimizer import (
    adafactor,
    adamw,
    global_norm,
    make_optimizer,
    path_name,
)
from uvim_fsq.training.schedule import constant, cosine, linear


def _nested(flat):
    tree = {}
    for name, value in flat.items():
        *parents, last = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = jnp.asarray(value)
    return tree


def _flat(tree):
    return {
        path_name(path): np.asarray(x)
        for path, x in jax.tree_util.tree_leaves_with_path(tree)
    }


def _part(arrays, prefix):
    return {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}


def _optimizer(config, total):
    schedule = config["schedule"]
    multipliers = [tuple(pair) for pair in config.get("lr_mults", [])]
    if isinstance(schedule, dict):
        schedule = cosine(total, schedule["warmup_steps"])
    else:  # the case "frozen"
        assert schedule[0] == ["encoder/.*", None]
        multipliers = [("encoder/.*", 0.0)]
        schedule = [("decoder/.*", cosine(total)), (".*", linear(total, 3))]
    return make_optimizer(
        adafactor(),
        learning_rate=config["lr"],
        schedule=schedule,
        weight_decay=config["wd"],
        multipliers=multipliers,
        clip_norm=config.get("grad_clip_norm"),
    )


def _final_state(arrays, state):
    """Pairs (reference, ours) of the optimizer state's arrays."""
    momentum = _flat(state.direction.momentum)
    second = _flat(state.direction.second)
    for name, value in _part(arrays, "opt_final/1/0/2/1/").items():
        yield f"momentum/{name}", value, momentum[name].astype(np.float32)
    for kind, suffix in (("1", "/row"), ("2", "/column"), ("3", "")):
        for name, value in _part(arrays, f"opt_final/1/0/0/{kind}/").items():
            if value.shape != (1,) or name + suffix in second:
                yield f"second/{name}{suffix}", value, second[name + suffix]


@pytest.fixture
def as_users_compile():
    """The reference was made by a compiler that does its best; in haste it rounds otherwise."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.mark.usefixtures("as_users_compile")
@pytest.mark.parametrize("case", ["stage1", "stage2", "noclip_bigwd", "frozen"])
def test_updates_equal_the_reference(golden, golden_path, case):
    expected = golden(f"optim/{case}.npz")
    configs = json.loads(golden_path("optim/configs.json").read_text())
    grads = golden("optim/grads.npz")
    optimizer = _optimizer(configs["cases"][case]["config"], configs["total_steps"])
    params = _nested(golden("optim/params0.npz"))
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    for step in range(configs["n_steps"]):
        updates, state = update(_nested(_part(grads, f"step{step}/")), state, params)
        params = jax.tree.map(jnp.add, params, updates)
        norm = expected[f"global_norm_updates/{step}"]
        np.testing.assert_allclose(global_norm(updates), norm, rtol=1e-6)
        ours = _flat(params)
        for name, value in _part(expected, f"params_after_step{step}/").items():
            # A momentum on the edge between two bfloat16 numbers may round either
            # way: 2^-8 of one update, little more than 1e-6 here.
            np.testing.assert_allclose(ours[name], value, rtol=0, atol=2e-6)
            share = np.mean(np.abs(ours[name] - value) > 1e-7)
            assert share < 0.01, (name, share)
    if case in ("stage1", "stage2"):
        pairs = list(_final_state(expected, state))
        assert len(pairs) > 30
        for name, theirs, mine in pairs:
            tolerance = 2**-7 if name.startswith("momentum") else 1e-5
            assert theirs.shape == mine.shape, name
            np.testing.assert_allclose(mine, theirs, rtol=tolerance, err_msg=name)


def test_frozen_arrays_have_no_update_no_decay_no_state_and_no_part_in_the_norm():
    params = {"a": {"kernel": jnp.ones((40, 40))}, "b": {"kernel": jnp.ones((4, 3))}}
    optimizer = make_optimizer(
        adafactor(),
        learning_rate=0.1,
        schedule=constant(),
        weight_decay=0.5,
        multipliers=[("a/.*", 0.0)],
        clip_norm=1.0,
    )
    state = optimizer.init(params)
    assert optimizer.trainable(params) == {
        "a": {"kernel": False},
        "b": {"kernel": True},
    }
    assert all("a/" not in name for name in _flat(state))
    small = {"a": {"kernel": jnp.zeros((40, 40))}, "b": {"kernel": jnp.ones((4, 3))}}
    large = {"a": {"kernel": jnp.full((40, 40), 1e6)}, "b": small["b"]}
    results = [optimizer.update(g, state, params)[0] for g in (small, large)]
    assert not results[0]["a"]["kernel"].any() and results[0]["b"]["kernel"].all()
    jax.tree.map(np.testing.assert_array_equal, *results)


@pytest.mark.parametrize(
    "shape", [(12, 40, 70), (3, 64, 64), (40, 9000), (5, 33), (7, 4, 40, 36)]
)
def test_second_moments_are_means_over_the_two_largest_axes(shape):
    """Against the definition in float64; stacked layers each have their own."""
    generator = np.random.default_rng(0)
    grads = [generator.normal(size=shape) * 10.0**e for e in (0, -3)]
    direction = adafactor(momentum=0.0, momentum_dtype=jnp.float32)
    state = direction.init({"x": jnp.zeros(shape)})
    axes = factored_axes(shape, 32)
    row = column = full = 0.0
    for t, g in enumerate(grads, 1):
        decay = min(0.95, 1 - t**-0.8)
        square = np.square(g) + 1e-30
        if axes is None:
            full = decay * full + (1 - decay) * square
            expected = g / np.sqrt(full)
        else:
            low, high = axes
            row = decay * row + (1 - decay) * square.mean(high, keepdims=True)
            column = decay * column + (1 - decay) * square.mean(low, keepdims=True)
            estimate = row * column / row.mean(low, keepdims=True)
            expected = g / np.sqrt(estimate)
        ours, state = jax.jit(direction.update)({"x": jnp.float32(g)}, state)
        np.testing.assert_allclose(ours["x"], expected, rtol=2e-5)


def test_layers_of_a_long_stack_move_as_each_would_alone():
    """40 layers, more than 32: arrays of one, two and three axes, factored by layer or not."""
    generator = np.random.default_rng(0)
    shapes = {"scale": (48,), "bias": (2, 40), "kernel": (36, 3, 40), "wide": (33, 50)}
    stack = {name: (40, *shape) for name, shape in shapes.items()}
    grads = [
        {
            name: np.float32(generator.normal(size=shape))
            for name, shape in stack.items()
        }
        for _ in range(2)
    ]
    # Layers of very different gradients, whose moments must not mix.
    grads = [
        {
            name: g
            * np.geomspace(1e-3, 1e3, 40, dtype=np.float32).reshape(
                40, *[1] * (g.ndim - 1)
            )
            for name, g in step.items()
        }
        for step in grads
    ]

    direction = adafactor(momentum=0.0, momentum_dtype=jnp.float32, stacked=is_stacked)

    @jax.jit
    def run(grads):
        state = direction.init(grads[0])
        for step in grads:
            moves, state = direction.update(step, state)
        return moves, state.second

    together, moments = run([{"encoder": {"layers": step}} for step in grads])
    for layer in (0, 39):
        alone, own = run(
            [{"encoder": {k: v[layer] for k, v in g.items()}} for g in grads]
        )
        for name in shapes:
            np.testing.assert_allclose(
                together["encoder"]["layers"][name][layer],
                alone["encoder"][name],
                rtol=1e-4,
            )
        assert jax.tree.structure(moments["encoder"]["layers"]) == jax.tree.structure(
            own["encoder"]
        )


def test_momentum_is_stored_in_bfloat16_and_used_unrounded():
    direction = adafactor()
    params = {"x": jnp.zeros(3)}
    state = direction.init(params)
    g = {"x": jnp.array([1.0, -2.0, 3.0])}  # one entry's scale: |g|, direction: sign
    first, state = jax.jit(direction.update)(g, state)
    np.testing.assert_allclose(first["x"], [0.1, -0.1, 0.1], rtol=1e-6)
    assert state.momentum["x"].dtype == jnp.bfloat16
    second, _ = jax.jit(direction.update)(g, state)
    stored = float(jnp.bfloat16(0.1))
    np.testing.assert_allclose(second["x"][0], 0.8984375 * stored + 0.1, rtol=1e-6)


def test_second_moments_forget_a_twentieth_at_each_step_in_the_long_run():
    """`1 - t^-0.8` is 0.933 at step 30 and would be 0.996 at step 1000."""
    direction = adafactor()
    fresh = direction.init({"x": jnp.zeros(3)})
    for count, kept in ((29, 1 - 30**-0.8), (999, 0.95)):
        state = fresh._replace(count=jnp.int32(count), second={"x": jnp.ones(3)})
        _, after = direction.update({"x": jnp.zeros(3)}, state)
        np.testing.assert_allclose(after.second["x"], kept, rtol=1e-6)


def test_adamw_equals_optax_with_the_decay_divided_by_the_learning_rate():
    generator = np.random.default_rng(0)
    params = {"d": {"kernel": jnp.float32(generator.normal(size=(5, 4)))}}
    ours = make_optimizer(
        adamw(), learning_rate=0.01, schedule=constant(), weight_decay=1e-3
    )
    theirs = optax.adamw(0.01, weight_decay=0.1)
    a, b = params, params
    ours_state, theirs_state = ours.init(params), theirs.init(params)
    for _ in range(3):
        g = {"d": {"kernel": jnp.float32(generator.normal(size=(5, 4)))}}
        updates, ours_state = ours.update(g, ours_state, a)
        a = optax.apply_updates(a, updates)
        updates, theirs_state = theirs.update(g, theirs_state, b)
        b = optax.apply_updates(b, updates)
    np.testing.assert_allclose(a["d"]["kernel"], b["d"]["kernel"], rtol=1e-6)
    assert np.abs(a["d"]["kernel"] - params["d"]["kernel"]).max() > 0.01


def test_patterns_match_the_full_path_and_the_first_match_counts():
    params = {"encoder": {"bias": jnp.zeros(2)}, "my_encoder": {"bias": jnp.zeros(2)}}
    grads = jax.tree.map(jnp.ones_like, params)
    optimizer = make_optimizer(
        adafactor(momentum=0.0),
        learning_rate=1.0,
        schedule=constant(),
        multipliers=[("encoder.*", 0.5), (".*bias", 0.25)],
    )
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_allclose(updates["encoder"]["bias"], -0.5)
    np.testing.assert_allclose(updates["my_encoder"]["bias"], -0.25)


def test_a_pattern_does_not_match_a_longer_path():
    params = {"a": {"bias": jnp.zeros(2), "bias_more": jnp.zeros(2)}}
    optimizer = make_optimizer(
        adafactor(momentum=0.0),
        learning_rate=1.0,
        schedule=constant(),
        multipliers=[("a/bias", 0.5)],
    )
    grads = jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_allclose(updates["a"]["bias"], -0.5)
    np.testing.assert_allclose(updates["a"]["bias_more"], -1.0)


def test_decay_touches_kernels_and_nothing_whose_path_only_speaks_of_one():
    params = {"kernel": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}}
    optimizer = make_optimizer(
        adamw(), learning_rate=1.0, schedule=constant(), weight_decay=0.1
    )
    still = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(still, optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"]["kernel"], -0.1)
    assert not updates["kernel"]["bias"].any()


def test_a_pattern_that_matches_nothing_is_an_error():
    params = {"encoder": {"kernel": jnp.zeros((2, 2))}}
    wrong = make_optimizer(
        adafactor(),
        learning_rate=1.0,
        schedule=constant(),
        multipliers=[("encodr/.*", 0.1)],
    )
    message = "'encodr/.*' matches no parameter; paths look like 'encoder/kernel'"
    with pytest.raises(ValueError, match=re.escape(message)):
        wrong.init(params)
    uncovered = make_optimizer(
        adafactor(), learning_rate=1.0, schedule=[("decoder/.*", constant())]
    )
    with pytest.raises(ValueError, match="no schedule's pattern matches .*encoder"):
        uncovered.init(params)
