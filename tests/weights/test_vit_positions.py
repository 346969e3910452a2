"""Position embeddings of one grid at the positions of another."""

import numpy as np
import pytest

from uvim_fsq.weights import vit


def test_resampling_is_linear_between_aligned_corners():
    rows, columns = np.mgrid[:3, :4].astype(np.float32)
    table = np.stack([rows.ravel(), columns.ravel()], axis=1)
    found = vit.resample(table, (3, 4), (5, 7)).reshape(5, 7, 2)
    np.testing.assert_allclose(found[:, 0, 0], np.linspace(0, 2, 5), atol=1e-6)
    np.testing.assert_allclose(found[0, :, 1], np.linspace(0, 3, 7), atol=1e-6)
    np.testing.assert_allclose(found[:, :, 0], found[:, :1, 0].repeat(7, 1), atol=1e-6)
    assert found.dtype == np.float32


def test_resampling_stays_inside_the_grid():
    # 15/14 * 25 and the like round to a hair above the last row.
    for old, new in [(15, 26), (8, 26), (24, 22), (16, 30), (24, 42)]:
        table = np.ones((old**2, 1), np.float32)
        assert (vit.resample(table, (old, old), (new, new)) == 1).all()


@pytest.mark.parametrize(
    "case", ["4_to_6", "6_to_4", "14_to_32", "7_to_7", "3_to_5", "24_to_32"]
)
def test_resampling_like_the_public_code(golden, case):
    arrays = golden("vit_init/resample_posemb.npz")
    old, _, new = case.partition("_to_")
    found = vit.resample(
        arrays[f"{case}/in"][0], (int(old), int(old)), (int(new), int(new))
    )
    np.testing.assert_allclose(found, arrays[f"{case}/out"][0], rtol=0, atol=1e-6)
