"""How a codebook is used over an evaluation set, and what its codes cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uvim_fsq.types import Float, Int


def index_histogram(
    indices: Int[np.ndarray, "..."], codebook_size: int
) -> Int[np.ndarray, "k"]:
    """How often each codeword occurs. Raises ValueError for indices outside the codebook."""
    flat = np.asarray(indices).ravel()
    if flat.size and (flat.min() < 0 or flat.max() >= codebook_size):
        raise ValueError(
            f"indices must lie in [0, {codebook_size}), found {flat.min()} to {flat.max()}: "
            "they belong to another codebook."
        )
    return np.bincount(flat, minlength=codebook_size)


class CodebookEvaluator:
    """Usage of a codebook, and the length of the codes under stage II.

    Over all N indices of the evaluation set: `usage` is the share of codewords that occur at least
    once; `perplexity` is exp(entropy) of their histogram; `indices` is N. N caps the usage, so
    `usage_corrected` divides it by what N uniform draws would use, `1 - (1 - 1/k)^N`; it can exceed 1
    slightly by chance. Take 20 or more indices per codeword where `usage` alone is to mean something.

    Where items hold `log_probs`, natural logarithms of the probability of each index given those
    before it: `bits_per_index` and `bits_per_image`, mean negative log2-likelihoods.

    Items hold `indices` (n,), one picture's code.
    """

    needs = frozenset({"indices"})

    def __init__(self, codebook_size: int):
        if codebook_size < 1:
            raise ValueError(
                f"codebook_size must be at least 1, found {codebook_size}."
            )
        self.codebook_size = codebook_size

    def update(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """The indices of one picture and, with `log_probs`, its `bits`."""
        # Not the histogram: with a large codebook one per picture would fill the memory.
        indices = np.asarray(item["indices"]).ravel()
        index_histogram(indices, self.codebook_size)
        stats: dict[str, Any] = {"indices": indices}
        if item.get("log_probs") is not None:
            stats["bits"] = _bits(
                np.asarray(item["log_probs"], np.float64), indices.size
            )
        return stats

    def aggregate(self, stats: Sequence[Mapping[str, Any]]) -> dict[str, float | int]:
        """The scores over all pictures. Raises ValueError if there are none."""
        if not stats:
            raise ValueError(
                "there are no codes to count: the evaluation set is empty."
            )
        indices = np.concatenate([each["indices"] for each in stats])
        histogram = index_histogram(indices, self.codebook_size)
        used = int((histogram > 0).sum())
        usage = used / self.codebook_size
        scores = {
            "usage": usage,
            "usage_corrected": usage
            / _expected_usage(self.codebook_size, indices.size),
            "perplexity": _perplexity(histogram),
            "codewords_used": used,
            "indices": indices.size,
        }
        if all("bits" in each for each in stats):
            bits = np.array([each["bits"] for each in stats])
            scores["bits_per_image"] = float(bits.mean())
            scores["bits_per_index"] = float(bits.sum() / indices.size)
        return scores


def _bits(log_probs: Float[np.ndarray, "..."], n: int) -> float:
    if log_probs.size != n:
        raise ValueError(
            f"expected one log-probability per index, found {log_probs.size} for {n} indices."
        )
    if not (log_probs <= 1e-4).all():
        raise ValueError(
            f"log-probabilities must not be positive or NaN, found up to {log_probs.max()}: "
            "give natural logarithms of probabilities."
        )
    return float(-log_probs.sum() / np.log(2))


def _perplexity(histogram: np.ndarray) -> float:
    p = histogram[histogram > 0] / histogram.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def _expected_usage(codebook_size: int, n: int) -> float:
    if codebook_size == 1:
        return 1.0
    return float(-np.expm1(n * np.log1p(-1 / codebook_size)))
