"""Grids in a file, read by rows."""

import h5py
import numpy as np
import pytest

from jaxcap.data.grids import Grids


def write(path, grid):
    with h5py.File(path, "w") as file:
        file.create_dataset("grid", data=grid, chunks=(1, *grid.shape[1:]))
    return path


def test_rows_are_read_in_any_order_and_repeated(tmp_path):
    grid = np.random.default_rng(0).standard_normal((7, 4, 3)).astype(np.float16)
    with Grids(write(tmp_path / "grid.h5", grid)) as grids:
        assert (grids.shape, grids.dtype, grids.nbytes) == ((7, 4, 3), np.float16, grid.nbytes)
        rows = np.array([5, 0, 5, 6, 5, 1])
        np.testing.assert_array_equal(grids.read(rows), grid[rows])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, np.copysign(np.nan, -1)])
def test_a_value_that_is_not_finite_names_the_row(tmp_path, value):
    grid = np.zeros((3, 4, 3), np.float16)
    grid[0, 0], grid[2, 0] = np.finfo(np.float16).max, np.finfo(np.float16).min
    grid[1, 2, 0] = value
    with Grids(write(tmp_path / "grid.h5", grid)) as grids:
        grids.read(np.array([0, 2]))
        with pytest.raises(ValueError, match=r"grid\.h5: grid row 1 .* NaN or infinite; make"):
            grids.read(np.array([2, 1]))
