"""The training step: loss, gradients, accumulation, optimizer, codebook; jitted once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from uvim_fsq.training.optimizer import Optimizer, global_norm, select
from uvim_fsq.training.schedule import Schedule
from uvim_fsq.training.state import TrainState
from uvim_fsq.types import Array, Float, Key, Tree

LossFunction = Callable[
    [Tree, Tree, Tree, Tree, Key], tuple[Float[Array, ""], tuple[Tree, dict]]
]
"""(params, collections, frozen, batch, key) -> (loss, (statistics, metrics)).

The loss and the metrics are means over the batch; statistics are sums over it, so that
they add up over micro-batches and devices."""

UpdateCollections = Callable[[Tree, Tree, Key], Tree]
"""(collections, statistics, key) -> collections, once a step."""

_AXIS = "data"


def data_mesh(devices: list | None = None) -> Mesh:
    """A mesh with the one axis `data` over all devices (or those given)."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh(
        (len(devices),), (_AXIS,), axis_types=(AxisType.Auto,), devices=devices
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, P())


def put_batch(batch: Tree, mesh: Mesh) -> Tree:
    """A batch of NumPy arrays on the devices, split along its first axis.

    With several processes every one gives its own part of the global batch.
    """
    sharding = NamedSharding(mesh, P(_AXIS))
    if jax.process_count() == 1:
        return jax.device_put(batch, sharding)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), batch
    )


class Step:
    """`step(state, frozen, batch) -> (state, metrics)`; made by `make_step`.

    `mesh` is where it runs; `put(batch)` brings a batch there. The state given is
    overwritten (donated) and must not be used again.
    """

    def __init__(self, function: Callable, mesh: Mesh, seed: int):
        self.mesh = mesh
        whole, parts = replicated(mesh), NamedSharding(mesh, P(_AXIS))
        self.jitted = jax.jit(
            function,
            donate_argnums=0,
            in_shardings=(whole, whole, parts, whole),
            out_shardings=(whole, whole),
        )
        # An argument rather than a constant: runs that differ only in their seed share
        # the compiled program.
        self._key = jax.device_put(np.asarray(_key_words(seed)), whole)

    def __call__(
        self, state: TrainState, frozen: Tree, batch: Tree
    ) -> tuple[TrainState, dict[str, Array]]:
        return self.jitted(state, frozen, batch, self._key)

    def put(self, batch: Tree) -> Tree:
        """The batch on this step's devices."""
        return put_batch(batch, self.mesh)

    def replicate(self, tree: Tree) -> Tree:
        """A tree of arrays, such as the state or `frozen`, whole on every device."""
        return jax.device_put(tree, replicated(self.mesh))


def _key_words(seed: int) -> Any:
    return jax.random.key_data(jax.random.key(seed))


class BatchSizeError(ValueError):
    """A batch that cannot be shared evenly."""


def check_batch_size(batch_size: int, micro_batches: int, devices: int) -> None:
    """Raises BatchSizeError if devices times micro-batches do not divide the batch."""
    parts = devices * micro_batches
    if micro_batches < 1 or batch_size < 1 or batch_size % parts:
        raise BatchSizeError(
            f"the batch of {batch_size} examples cannot be split evenly over "
            f"{devices} device(s) x {micro_batches} micro-batch(es): make it a "
            f"multiple of {max(parts, 1)}."
        )


def make_step(
    loss_function: LossFunction,
    update_collections: UpdateCollections,
    optimizer: Optimizer,
    learning_rate: Schedule,
    *,
    batch_size: int,
    seed: int,
    micro_batches: int = 1,
    average_decay: float | int = 0.0,
    mesh: Mesh | None = None,
) -> Step:
    """A step over a global batch of `batch_size` examples, shared by all devices.

    - The key of a step is `fold_in(key(seed), state.step)`; each micro-batch folds in
      its position.
    - `micro_batches` > 1: gradients and metrics of parts of the batch, averaged;
      statistics are summed and the collections updated once. The step is that of the
      whole batch, up to rounding, but for what the loss function draws from its key
      (code dropout): every part draws its own. Metrics that are no means over examples
      (the codebook's usage in a batch) become means over the parts.
    - `average_decay` > 0: after update t (0 at the first) the state's average moves by
      `(1 - d) (params - average)`, `d = min(average_decay, (1 + t) / (10 + t))`: early
      on it follows closely and soon forgets where training started. The gradients are
      those at the parameters, never at the average.
    - `learning_rate` (step -> rate) is only reported.
    - Metrics, float32 scalars: those of the loss function, `loss`, `learning_rate`,
      `l2_grads` (before clipping, without frozen arrays), `l2_updates`, `l2_params`
      (after the update), and `finite`: 1, or 0 if a loss, norm or collection is not.

    Raises BatchSizeError if devices times micro-batches do not divide the batch. The step
    raises ValueError for a state with an average where none is wanted, or without.
    """
    mesh = data_mesh() if mesh is None else mesh
    check_batch_size(batch_size, micro_batches, mesh.size)

    def step(state: TrainState, frozen: Tree, batch: Tree, key: Array):
        _check_batch(batch, batch_size)
        _check_average(state, average_decay)
        key = jax.random.fold_in(jax.random.wrap_key_data(key), state.step)
        loss_key, update_key = jax.random.split(key)
        mask = optimizer.trainable(state.params)

        def value(trained, batch, index):
            params = _merge(trained, state.params)
            key = jax.random.fold_in(loss_key, index)
            return loss_function(params, state.collections, frozen, batch, key)

        gradient = jax.value_and_grad(value, has_aux=True)
        trained = select(state.params, mask)
        (loss, (statistics, metrics)), grads = _accumulate(
            gradient, trained, batch, micro_batches, mesh
        )
        # XLA for processors would else take their norm of the head gradients chunk by chunk, as a
        # reduce-window: a step of stage I took a tenth longer (docs/results/optimization_barrier.json).
        grads = jax.lax.optimization_barrier(grads)
        collections = update_collections(state.collections, statistics, update_key)
        updates, opt_state = optimizer.update(
            _merge(grads, state.params), state.opt_state, state.params
        )
        params = jax.tree.map(jnp.add, state.params, updates)
        average = _moved(state, params, average_decay)
        metrics = dict(metrics, loss=loss, learning_rate=learning_rate(state.step))
        for name, tree in (("grads", grads), ("params", params), ("updates", updates)):
            metrics[f"l2_{name}"] = global_norm(tree)
        metrics["finite"] = _finite(metrics, collections)
        metrics = {k: jnp.asarray(v, jnp.float32) for k, v in metrics.items()}
        new = TrainState(state.step + 1, params, collections, opt_state, average)
        return new, metrics

    return Step(step, mesh, seed)


def _check_batch(batch: Tree, batch_size: int) -> None:
    for path, x in jax.tree_util.tree_leaves_with_path(batch):
        if x.shape[:1] != (batch_size,):
            raise ValueError(
                f"batch{jax.tree_util.keystr(path)} has shape {x.shape}: expected "
                f"{batch_size} examples along its first axis."
            )


def _check_average(state: TrainState, decay: float | int) -> None:
    if state.averaged != (decay > 0):
        raise ValueError(
            f"average_decay is {decay} and the state has {'an' if state.averaged else 'no'} "
            "average of the parameters: make it with create_state(..., "
            f"averaged={decay > 0})."
        )


def _moved(state: TrainState, params: Tree, decay: float | int) -> Tree:
    """The average after an update to `params`."""
    if not state.averaged:
        return {}
    t = state.step.astype(jnp.float32)
    share = 1 - jnp.minimum(decay, (1 + t) / (10 + t))
    return jax.tree.map(lambda a, p: a + share * (p - a), state.average, params)


def _merge(tree: Tree, whole: Tree) -> Tree:
    """`tree` with the leaves of `whole` where it has None."""
    return jax.tree.map(
        lambda x, other: other if x is None else x, tree, whole, is_leaf=_is_none
    )


def _is_none(x: Any) -> bool:
    return x is None


def _accumulate(gradient, trained: Tree, batch: Tree, micro_batches: int, mesh: Mesh):
    """Gradients and means over all micro-batches; statistics are summed."""
    if micro_batches == 1:
        return gradient(trained, batch, 0)

    def split(x):
        # Every device keeps its own examples: its part is cut, not the whole batch.
        per = x.shape[0] // (mesh.size * micro_batches)
        x = x.reshape(mesh.size, micro_batches, per, *x.shape[1:]).swapaxes(0, 1)
        x = x.reshape(micro_batches, mesh.size * per, *x.shape[3:])
        return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, P(None, _AXIS)))

    batches = jax.tree.map(split, batch)
    first = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), batches)
    shapes = jax.eval_shape(gradient, trained, first, 0)
    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def body(total, part):
        index, batch = part
        return jax.tree.map(jnp.add, total, gradient(trained, batch, index)), None

    ((loss, (statistics, metrics)), grads), _ = jax.lax.scan(
        body, zero, (jnp.arange(micro_batches), batches)
    )
    mean = jax.tree.map(lambda x: x / micro_batches, (loss, metrics, grads))
    loss, metrics, grads = mean
    return (loss, (statistics, metrics)), grads


def _finite(metrics: dict[str, Array], collections: Tree) -> Array:
    checked = [metrics[name] for name in ("loss", "l2_grads", "l2_params")]
    checked += [
        jnp.sum(x)
        for x in jax.tree.leaves(collections)
        if jnp.issubdtype(x.dtype, jnp.floating)
    ]
    return jnp.all(jnp.isfinite(jnp.stack([jnp.float32(x) for x in checked])))
