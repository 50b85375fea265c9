"""Principal components: fitted in chunks as from one matrix, kept, and carried into a run."""

import h5py
import numpy as np
import pytest

from jaxcap.data.projection import Projection, carry_projection, fit_projection

X = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32) * [5, 4, 3, 2, 1] + 7
X = X.astype(np.float32)


def fit(components=2, rows=9):
    return fit_projection(lambda: (X[i : i + rows] for i in range(0, len(X), rows)), components)


def test_chunks_make_no_difference_and_svd_agrees():
    (projection, share), (whole, _) = fit(), fit(rows=40)
    np.testing.assert_allclose(projection.components, whole.components, atol=1e-6)
    centred = X.astype(np.float64) - X.mean(0, dtype=np.float64)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    assert share == pytest.approx((values[:2] ** 2).sum() / (values**2).sum())
    np.testing.assert_allclose(abs(projection.components @ directions[:2].T), np.eye(2), atol=1e-5)
    assert (projection.components.max(1) == abs(projection.components).max(1)).all()
    reduced = projection.apply(X)
    np.testing.assert_allclose(reduced.mean(0), 0, atol=1e-5)


@pytest.mark.parametrize("components", [0, 6])
def test_too_many_or_none(components):
    with pytest.raises(ValueError, match=f"--pca is {components}, expected 1 to 5"):
        fit(components)


def test_saved_and_loaded(tmp_path):
    projection, _ = fit()
    projection.save(tmp_path / "pca.h5")
    loaded = Projection.load(tmp_path / "pca.h5")
    np.testing.assert_array_equal(loaded.mean, projection.mean)
    np.testing.assert_array_equal(loaded.components, projection.components)
    assert loaded.describe() == projection.describe()
    assert fit(3)[0].describe() != projection.describe()
    with h5py.File(tmp_path / "pca.h5", "r+") as file:
        file["mean"][0, 1] = np.nan
    with pytest.raises(ValueError, match="pca.h5: mean row 0"):
        Projection.load(tmp_path / "pca.h5")
    with pytest.raises(FileNotFoundError, match="none.h5"):
        Projection.load(tmp_path / "none.h5")


def test_a_run_has_the_projection_of_its_own_data_or_none(tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    run.mkdir()
    fit()[0].save(data / "pca.h5")
    carry_projection(data, run, used=True)
    assert (run / "pca.h5").read_bytes() == (data / "pca.h5").read_bytes()
    carry_projection(data, run, used=False)
    assert not any(run.iterdir())
    carry_projection(tmp_path, run, used=True)
    assert not any(run.iterdir())
