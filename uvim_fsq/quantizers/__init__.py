"""Quantizers: FSQ, VQ and Identity behind one protocol.

The names come when they are asked for, so that the settings of quantizers can be read without JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uvim_fsq.quantizers.base import Quantizer, QuantizerOutput, straight_through
    from uvim_fsq.quantizers.fsq import BOUNDS, FSQ, recommended_levels, search_levels
    from uvim_fsq.quantizers.identity import Identity
    from uvim_fsq.quantizers.splitting import split_codewords
    from uvim_fsq.quantizers.usage import (
        batch_usage,
        codebook_perplexity,
        codebook_usage,
        expected_usage,
    )
    from uvim_fsq.quantizers.vq import VQ, vq_update

__all__ = [
    "BOUNDS",
    "FSQ",
    "Identity",
    "Quantizer",
    "QuantizerOutput",
    "VQ",
    "batch_usage",
    "codebook_perplexity",
    "codebook_usage",
    "expected_usage",
    "recommended_levels",
    "search_levels",
    "split_codewords",
    "straight_through",
    "vq_update",
]

_MODULES = {
    "base": ("Quantizer", "QuantizerOutput", "straight_through"),
    "fsq": ("BOUNDS", "FSQ", "recommended_levels", "search_levels"),
    "identity": ("Identity",),
    "splitting": ("split_codewords",),
    "usage": (
        *("batch_usage", "codebook_perplexity"),
        *("codebook_usage", "expected_usage"),
    ),
    "vq": ("VQ", "vq_update"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
