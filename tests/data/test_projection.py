"""Principal components: fitted in chunks as from one matrix, kept, and carried into a run."""

import numpy as np
import pytest

from jaxcap.data.projection import Projection, carry_projection, fit_projection

X = np.random.default_rng(0).standard_normal((40, 5), np.float32) * np.float32([5, 4, 3, 2, 1]) + 7


def fit(components=2, rows=8):
    return fit_projection(lambda: (X[i : i + rows] for i in range(0, len(X), rows)), components)


def test_chunks_make_no_difference_and_svd_agrees():
    (projection, share), (whole, _) = fit(), fit(rows=40)
    np.testing.assert_allclose(projection.components, whole.components, atol=1e-6)
    centred = X.astype(np.float64) - X.mean(0, dtype=np.float64)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    assert share == pytest.approx((values[:2] ** 2).sum() / (values**2).sum())
    np.testing.assert_allclose(abs(projection.components @ directions[:2].T), np.eye(2), atol=1e-5)
    assert (projection.components.max(1) == abs(projection.components).max(1)).all()
    by_hand = Projection(np.float32([1, 1]), np.float32([[0.6, 0.8]]))
    found = by_hand.apply(np.float32([[3, 1], [1, 5]]))
    np.testing.assert_allclose(found, [[1.2], [3.2]], rtol=1e-6)
    with pytest.raises(ValueError, match="width 3.*mean of width 2"):
        by_hand.apply(np.zeros((1, 3), np.float32))
    for components in (0, 6):
        with pytest.raises(ValueError, match=f"`pca` is {components}, expected 1 to 5"):
            fit(components)


def test_a_run_has_the_projection_of_its_own_data_or_none(tmp_path):
    (data, run), (projection, _) = (tmp_path / "data", tmp_path / "run"), fit()
    data.mkdir()
    run.mkdir()
    projection.save(str(data / "pca.h5"))
    assert Projection.load(str(data / "pca.h5")).describe() == projection.describe()
    assert fit(3)[0].describe() != projection.describe()
    for source, used in ((data, False), (str(tmp_path), True), (None, True)):
        carry_projection(data, str(run), used=True)
        carry_projection(run, run, used=False)
        assert (run / "pca.h5").read_bytes() == (data / "pca.h5").read_bytes()
        carry_projection(source, run, used=used)
        assert not any(run.iterdir())
