"""How a codebook is used over an evaluation set, and what its codes cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uvim_fsq.types import Float, Int


class UsedCodewords:
    """How often each codeword occurs, of those that do: memory goes with them, not with the codebook.

    Attributes:
      indices: those that occur, int64, ascending.
      counts: how often each of them does.
    """

    def __init__(self, codebook_size: int):
        self.codebook_size = codebook_size
        self.indices = np.zeros(0, np.int64)
        self.counts = np.zeros(0, np.int64)

    def add(self, indices: Int[np.ndarray, "..."]) -> None:
        """Counts more indices. Raises ValueError for those outside the codebook."""
        found, counts = np.unique(np.asarray(indices), return_counts=True)
        if found.size and (found[0] < 0 or found[-1] >= self.codebook_size):
            raise ValueError(
                f"indices must lie in [0, {self.codebook_size}), found {found[0]} to {found[-1]}: "
                "they belong to another codebook."
            )
        together = np.concatenate([self.indices, found.astype(np.int64)])
        self.indices, places = np.unique(together, return_inverse=True)
        before = self.counts
        self.counts = np.zeros(self.indices.size, np.int64)
        np.add.at(self.counts, places, np.concatenate([before, counts]))

    @property
    def total(self) -> int:
        """How many indices were counted."""
        return int(self.counts.sum())

    @property
    def usage(self) -> float:
        """Share of the codewords that occur."""
        return self.indices.size / self.codebook_size

    @property
    def perplexity(self) -> float:
        """`exp(entropy)` of the histogram; 1 if nothing was counted."""
        p = self.counts / max(self.total, 1)
        return float(np.exp(-(p * np.log(p)).sum()))


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
        indices = np.asarray(item["indices"]).ravel()
        UsedCodewords(self.codebook_size).add(indices)  # Which checks them.
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
        used = UsedCodewords(self.codebook_size)
        used.add(indices)
        scores = {
            "usage": used.usage,
            "usage_corrected": used.usage
            / _expected_usage(self.codebook_size, indices.size),
            "perplexity": used.perplexity,
            "codewords_used": used.indices.size,
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


def _expected_usage(codebook_size: int, n: int) -> float:
    if codebook_size == 1:
        return 1.0
    return float(-np.expm1(n * np.log1p(-1 / codebook_size)))
