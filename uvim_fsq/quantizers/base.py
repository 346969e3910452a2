"""What every quantizer is: a protocol, its result, and the straight-through gradient."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import flax.struct
import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from uvim_fsq.types import Array, Float, Key, Tree


@flax.struct.dataclass
class QuantizerOutput:
    """What a quantizer makes of a batch of latents `z`, shape (*b d).

    - `codes`: float32 (*b d), the quantized vectors, with a gradient towards `z`.
    - `indices`: int32 (*b), each in [0, codebook_size); None where there is no codebook.
    - `loss`: float32 scalar to be added to the training loss (0 for FSQ and Identity).
    - `statistics`: pytree of sums over the batch for `Quantizer.update`. Statistics of several
      batches are added entry by entry. Empty where there is nothing to learn.
    """

    codes: Any
    indices: Any
    loss: Any
    statistics: Any


@runtime_checkable
class Quantizer(Protocol):
    """The seam between a model and its bottleneck.

    Implementations are Flax modules. Latents have any leading axes and their channels last; they
    are quantized in float32 whatever their type. `__call__` and `indices_to_codes` read the
    variables of the module and never write them: the state in the collection "codebook", if there
    is any, changes only through `update`.
    """

    @property
    def codebook_size(self) -> int | None:
        """Number of codewords; None without a codebook."""
        ...

    @property
    def code_dim(self) -> int:
        """Channels of `z` and of `codes`."""
        ...

    def __call__(
        self, z: Array, *, train: bool, mask: Array | None = None
    ) -> QuantizerOutput:
        """Quantize `z`, shape (*b d); `mask` (*b) is False where an entry is padding, which has codes
        and indices as any other and no part in loss and statistics."""
        ...

    def indices_to_codes(self, indices: Array) -> Array:
        """The codes, float32 (*b d), of indices of shape (*b)."""
        ...

    def update(self, codebook: Tree, statistics: Tree, key: Key) -> Tree:
        """The state after a step with these statistics; needs no variables, pure."""
        ...


@jax.custom_jvp
def straight_through(z: Array, quantized: Array) -> Array:
    """`quantized`, with the gradient of `z`.

    The value is exactly `quantized` (`z + stop_gradient(quantized - z)` is only close to it). The
    gradient with respect to `z` is the identity, the one with respect to `quantized` is zero.
    """
    del z
    return quantized


@straight_through.defjvp
def _straight_through_jvp(primals, tangents):
    return primals[1], tangents[0]


def check_channels(name: str, z: Array, code_dim: int) -> None:
    """Raise a ValueError unless the last axis of `z` has `code_dim` channels."""
    if z.ndim < 1 or z.shape[-1] != code_dim:
        raise ValueError(
            f"{name} expects latents whose last axis has code_dim = {code_dim} channels, found "
            f"shape {tuple(z.shape)}: project them to {code_dim} channels first."
        )


def on_any_mesh(
    function: Callable[..., Any],
    like: Array,
    specs: Callable[[tuple], Any],
    *others: Any,
) -> Any:
    """`function(like, *others)`, on a mesh with explicit axes too (the default of `jax.make_mesh`).

    There the compiler is to place what lies between, and the results' places are given: `specs` makes
    partitions of them, given the mesh axes that the axes of `like` lie on.
    """
    place = jax.typeof(like).sharding
    if AxisType.Explicit not in place.mesh.axis_types:
        return function(like, *others)
    wanted = jax.tree.map(
        lambda spec: NamedSharding(place.mesh, spec),
        specs(tuple(place.spec)),
        is_leaf=lambda spec: isinstance(spec, PartitionSpec),
    )
    return jax.sharding.auto_axes(function, out_sharding=wanted)(like, *others)


def within(indices: Array, codebook_size: int) -> Array:
    """Indices of any integer type as int32, those outside the codebook as the nearest in it."""
    largest = min(codebook_size - 1, int(jnp.iinfo(indices.dtype).max))
    return jnp.clip(indices, 0, largest).astype(jnp.int32)


def zero_loss() -> Float[Array, ""]:
    """The loss of a quantizer without one."""
    return jnp.zeros((), jnp.float32)
