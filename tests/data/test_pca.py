"""A stored projection gives new features the axes of the old ones."""

import numpy as np
import pytest

from jaxcap.data.projection import apply_pca


def test_by_hand():
    features = np.array([[3.0, 1.0], [1.0, 5.0]], np.float32)
    found = apply_pca(
        features, np.array([1.0, 1.0], np.float32), np.array([[0.6, 0.8]], np.float32)
    )
    np.testing.assert_allclose(found, [[1.2], [3.2]], rtol=1e-6)


def test_projection_of_another_width():
    with pytest.raises(ValueError, match="width 3.*mean of width 2"):
        apply_pca(np.zeros((1, 3)), np.zeros(2), np.zeros((1, 2)))
