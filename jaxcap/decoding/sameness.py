"""The commonest fault of captioners, noticed: one caption for every picture."""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float

_FEWEST = 4


def warn_of_one_caption(
    captions: Sequence[str], features: Float[np.ndarray, "N D"] | Float[Array, "N D"]
) -> None:
    """Warn where pictures that differ all get the same caption, and name the likely causes.

    Args:
        captions: of N pictures.
        features: of the same pictures; those whose features are equal count as one.
    """
    if len(captions) < _FEWEST or len(set(captions)) > 1:
        return
    different = len(np.unique(np.asarray(features), axis=0))
    if different >= _FEWEST:
        warnings.warn(
            f"{different} different pictures all get the caption {captions[0]!r}: the features are "
            "probably made otherwise than those in training (another encoder, preprocessing or "
            "order of channels), or the captioner was hardly trained, or its training diverged",
            stacklevel=2,
        )
