"""Principal components: the projection that is stored with features, applied to new ones."""

import numpy as np
from jaxtyping import Float


def apply_pca(
    features: Float[np.ndarray, "N D"],
    mean: Float[np.ndarray, "_"],
    components: Float[np.ndarray, "K _"],
) -> Float[np.ndarray, "N K"]:
    """Project features as those were that a captioner was trained on: (x - mean) components^T.

    Args:
        features: (N, D).
        mean: (D,), subtracted first.
        components: (K, D), one direction a row.

    Raises:
        ValueError: the projection was made for features of another width.
    """
    if not features.shape[1] == mean.shape[0] == components.shape[1]:
        raise ValueError(
            f"the features have width {features.shape[1]}, the projection a mean of width "
            f"{mean.shape[0]} and components of width {components.shape[1]}; "
            "use the projection that was stored with these features"
        )
    return (features - mean[None]) @ components.T
