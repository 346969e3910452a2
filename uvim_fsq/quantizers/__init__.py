"""Quantizers: FSQ, VQ and Identity behind one protocol."""

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
