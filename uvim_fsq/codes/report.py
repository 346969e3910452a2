"""What a data set's codes amount to, in numbers."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uvim_fsq.evaluators.codebook import UsedCodewords
from uvim_fsq.quantizers import expected_usage
from uvim_fsq.tables import aligned
from uvim_fsq.types import Float


def code_statistics(
    used: UsedCodewords, bits: Float[np.ndarray, "b"] | None
) -> dict[str, Any]:
    """How the codebook is used and, from the bits of each picture's code, what the codes cost.

    `usage` and `perplexity` as in `CodebookEvaluator`; `usage_by_chance` is what so many uniform
    draws would use.
    """
    k, n = used.codebook_size, used.total
    most = int(used.counts.argmax())
    statistics: dict[str, Any] = {
        "indices": n,
        "usage": used.usage,
        "usage_by_chance": expected_usage(k, n),
        "perplexity": used.perplexity,
        "codewords_used": used.indices.size,
        "most_used": {
            "index": int(used.indices[most]),
            "share": float(used.counts[most] / n),
        },
    }
    if bits is not None:
        mean = float(bits.mean(dtype=np.float64))
        statistics["bits_per_image"] = mean
        statistics["bits_per_index"] = mean * len(bits) / n
    return statistics


def print_codes(
    description: Mapping[str, Any],
    statistics: Mapping[str, Any],
    speed: float,
    folder: Path,
) -> None:
    """Prints a short table."""
    length, k = description["code_length"], description["codebook_size"]
    parts = ", ".join(f"{p['pictures']:,} {p['part']}" for p in description["parts"])
    most = statistics["most_used"]
    rows = [
        ("pictures", parts),
        ("indices", f"{statistics['indices']:,}, {length} a picture"),
        (
            "codebook usage",
            f"{100 * statistics['usage']:.3g}% of {k:,} codewords (uniform draws: "
            f"{100 * statistics['usage_by_chance']:.3g}%)",
        ),
        ("perplexity", f"{statistics['perplexity']:,.1f}"),
        ("most used codeword", f"{most['index']}, {most['share']:.2%} of the indices"),
    ]
    fixed = math.log2(k)
    for name, size in (("index", 1), ("image", length)):
        if f"bits_per_{name}" in statistics:
            bits = statistics[f"bits_per_{name}"]
            rows.append(
                (
                    f"bits per {name}",
                    f"{bits:.2f} under stage II ({fixed * size:.2f} at fixed length)",
                )
            )
    rows.append(("images per second", f"{speed:,.1f}"))
    print(aligned(rows, left=2))
    print(f"codes: {folder}")
