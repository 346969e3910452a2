"""Parameters of a stage, counted by part from the shapes of its variables."""

import jax

from uvim_fsq.types import Tree

_PARTS = {
    "embedding_": "label embedding",
    "encoder_image": "image embedding",
    "decoder_image": "decoder's image embedding",
    "patches": "image embedding",
    "encoder_positions": "position embeddings",
    "decoder_positions": "position embeddings",
    "token_embedding": "token embedding",
    "encoder": "encoder",
    "downsample": "bottleneck",
    "to_code": "bottleneck",
    "from_code": "bottleneck",
    "upsample": "bottleneck",
    "decoder": "decoder",
    "decoder_layers": "decoder",
    "decoder_norm": "decoder",
    "head_": "heads",
    "logits": "logits",
}
"""Parts by the module's name; a name that ends in an underscore goes on with a channel's."""


def count(tree: Tree) -> int:
    """Numbers in all arrays of a tree, which may be abstract."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def size(tree: Tree) -> int:
    """Bytes of all arrays of a tree, which may be abstract."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def parameters_by_part(params: Tree) -> dict[str, int]:
    """Parameters of each part of a stage; they add up to `count(params)`.

    >>> parameters_by_part({"to_code": {"kernel": jnp.zeros((8, 5)), "bias": jnp.zeros(5)}})
    {'bottleneck': 45}
    """
    parts: dict[str, int] = dict.fromkeys(_PARTS.values(), 0)
    for name, tree in params.items():
        known = name if name in _PARTS else name.split("_")[0] + "_"
        part = _PARTS[known] if known in _PARTS else name
        parts[part] = parts.get(part, 0) + count(tree)
    return {part: number for part, number in parts.items() if number}
