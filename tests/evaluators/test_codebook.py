"""Codebook usage, perplexity and the cost of codes."""

import tracemalloc

import numpy as np
import pytest

from uvim_fsq.evaluators.codebook import CodebookEvaluator, UsedCodewords
from uvim_fsq.quantizers import codebook_perplexity, codebook_usage, expected_usage


def scores(codes, codebook_size, log_probs=None):
    evaluator = CodebookEvaluator(codebook_size)
    log_probs = log_probs or [None] * len(codes)
    stats = [
        evaluator.update({"indices": np.array(code), "log_probs": lp})
        for code, lp in zip(codes, log_probs, strict=True)
    ]
    return evaluator.aggregate(stats)


def test_usage_and_perplexity_over_all_pictures():
    found = scores([[0, 0, 1], [1, 5, 5]], 8)
    assert found["usage"] == 3 / 8 and found["codewords_used"] == 3
    assert found["perplexity"] == pytest.approx(3.0)
    assert found["indices"] == 6
    assert found["usage_corrected"] == pytest.approx(3 / 8 / (1 - (7 / 8) ** 6))
    assert "bits_per_index" not in found


def test_agrees_with_the_metrics_of_training():
    codes = np.random.default_rng(0).integers(0, 40, (30, 4)) ** 2 // 40
    found = scores(codes.tolist(), 64)
    histogram = np.bincount(codes.ravel(), minlength=64)
    assert histogram.sum() == codes.size
    assert found["usage"] == pytest.approx(float(codebook_usage(histogram)))
    assert found["perplexity"] == pytest.approx(float(codebook_perplexity(histogram)))
    assert found["usage"] / found["usage_corrected"] == pytest.approx(
        expected_usage(64, codes.size)
    )


def test_counting_takes_memory_for_the_codewords_that_occur():
    """Nine channels of eight levels: 134 million codewords, whose histogram has a gigabyte."""
    size = 8**9
    codes = np.random.default_rng(0).integers(0, size, (50, 16))
    codes[:, :4] = [0, 5, 5, size - 1]
    used = UsedCodewords(size)
    tracemalloc.start()
    for code in codes:
        used.add(code)
    found = scores(codes.tolist(), size)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    indices, counts = np.unique(codes, return_counts=True)
    np.testing.assert_array_equal(used.indices, indices)
    np.testing.assert_array_equal(used.counts, counts)
    assert used.total == codes.size and used.usage == len(indices) / size
    shares = counts / codes.size
    perplexity = np.exp(-(shares * np.log(shares)).sum())
    assert used.perplexity == pytest.approx(perplexity, rel=1e-12)
    assert found["usage"] == used.usage and found["perplexity"] == used.perplexity
    assert found["codewords_used"] == len(indices)


def test_nothing_counted():
    used = UsedCodewords(8)
    used.add(np.zeros((0, 4), np.int32))
    assert (used.total, used.usage, used.perplexity) == (0, 0.0, 1.0)


def test_bits_are_negative_log2_likelihoods():
    halves, quarters = np.log([0.5, 0.5]), np.log([0.25, 0.25])
    found = scores([[0, 1], [2, 3]], 4, [halves, quarters])
    assert found["bits_per_image"] == pytest.approx((2 + 4) / 2)
    assert found["bits_per_index"] == pytest.approx((2 + 4) / 4)


def test_bits_are_scored_where_all_pictures_have_them():
    found = scores([[0, 1], [2, 3]], 4, [np.log([0.5, 0.5]), None])
    assert "bits_per_index" not in found and "bits_per_image" not in found
    assert found["indices"] == 4


def test_a_codebook_of_one_word_is_used():
    found = scores([[0, 0, 0]], 1)
    assert found["usage"] == found["usage_corrected"] == 1
    assert found["perplexity"] == pytest.approx(1)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"\[0, 8\), found 1 to 8"):
        scores([[1, 8]], 8)
    with pytest.raises(ValueError, match=r"found -1 to 2"):
        scores([[-1, 2]], 8)
    with pytest.raises(
        ValueError, match="one log-probability per index, found 3 for 2"
    ):
        scores([[1, 2]], 8, [np.log([0.5, 0.5, 0.5])])
    for positive in (0.5, 1e-3, np.nan):
        with pytest.raises(ValueError, match="natural logarithms"):
            scores([[1, 2]], 8, [np.array([-1.0, positive])])
    # As much as float32 may be off.
    assert scores([[1, 2]], 8, [np.array([-1.0, 5e-5])])["bits_per_index"] > 0
    with pytest.raises(ValueError, match="empty"):
        scores([], 8)
    with pytest.raises(ValueError, match="at least 1"):
        CodebookEvaluator(0)
