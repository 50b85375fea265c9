"""PCA of training features and grids: fitted, stored, and copied with a run.

`pca.h5`, of the features, and `grid_pca.h5`, of the places of the grids, hold `mean` (1, D) and
`components` (K, D), float32. A run trained on what they reduce keeps a copy beside its checkpoints,
so the run folder is enough to caption photos.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float

from jaxcap.data.coco_writing import GRID_PCA_FILE, PCA_FILE
from jaxcap.data.identity import DataIdentity
from jaxcap.files import AnyPath
from jaxcap.files.hdf5 import find_dataset, open_hdf5, read_floats
from jaxcap.files.whole import replacing


@dataclass(frozen=True, eq=False)
class Projection:
    """Projection of D features to K: (x - mean) components^T."""

    mean: Float[np.ndarray, "D"]
    components: Float[np.ndarray, "K D"]

    def apply(self, features: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N K"]:
        """Project features.

        Raises:
            ValueError: the features have another width.
        """
        return apply_pca(features, self.mean, self.components)

    def describe(self) -> dict[str, Any]:
        """Identify the projection in plain JSON."""
        contents = self.mean.tobytes() + self.components.tobytes()
        return {
            "components": len(self.components),
            "digest": hashlib.sha256(contents).hexdigest()[:12],
        }

    def save(self, path: AnyPath) -> None:
        """Write the projection; equal ones give equal bytes."""
        with h5py.File(path, "w") as file:
            file.create_dataset("mean", data=self.mean[None], track_times=False)
            file.create_dataset("components", data=self.components, track_times=False)

    @classmethod
    def load(cls, path: AnyPath) -> "Projection":
        """Read a projection.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file does not hold a projection.
            OSError: the file is broken.
        """
        with open_hdf5(path) as file:
            mean, components = (
                read_floats(find_dataset(file, name, ndim=2, kind="floats"))
                for name in ("mean", "components")
            )
        return cls(mean[0], components)


def apply_pca(
    features: Float[np.ndarray, "N D"],
    mean: Float[np.ndarray, "_"],
    components: Float[np.ndarray, "K _"],
) -> Float[np.ndarray, "N K"]:
    """Project features as for the training of a captioner: (x - mean) components^T.

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


def fit_projection(
    chunks: Callable[[], Iterable[Float[np.ndarray, "n D"]]],
    num_components: int,
    name: str = "pca",
) -> tuple[Projection, float]:
    """Find the directions in which features vary most.

    It makes two passes, the first for the mean, and keeps one (D, D) float64 matrix in memory. The
    sign of a direction is arbitrary; its largest entry is made positive.

    Args:
        chunks: called twice; each call returns all features chunk by chunk.
        num_components: K.
        name: name of the argument K, for messages.

    Returns:
        The projection, and the share of the variance that it keeps.

    Raises:
        ValueError: there are fewer than K features, or too few images to fix K directions.
    """
    count, total = 0, np.zeros(0)
    for chunk in chunks():
        total = chunk.sum(0, dtype=np.float64) + (total if count else 0)
        count += len(chunk)
    width = len(total)
    check_components(num_components, count, width, name)
    mean = np.divide(total, count)
    covariance = np.zeros((width, width))
    for chunk in chunks():
        centred = chunk - mean[None]
        covariance += centred.T @ centred
    values, vectors = np.linalg.eigh(covariance)
    components = vectors[:, ::-1][:, :num_components].T
    largest = np.abs(components).argmax(1)
    signs = np.sign(components[np.arange(num_components), largest])
    projection = Projection(
        mean.astype(np.float32), (components * signs[:, None]).astype(np.float32)
    )
    return projection, float(values[-num_components:].sum() / max(values.sum(), 1e-30))


def check_components(num_components: int, count: int, width: int, name: str = "pca") -> None:
    """Refuse a projection to more directions than the training images can fix.

    Args:
        num_components: number of directions.
        count: training images, or with the name "grid_pca" the places of all.
        width: length of a vector of an image or place.
        name: name of the argument, "pca" or "grid_pca".

    Raises:
        ValueError: `num_components` is not below the count, or above the width.
    """
    most = min(count - 1, width)
    if not 1 <= num_components <= most:
        of = "images" if name == "pca" else "places"
        raise ValueError(
            f"`{name}` is {num_components}, expected 1 to {most}, since there are {count} training "
            f"{of} of {width} features"
        )


def carry_projections(
    data_folder: AnyPath | None, run_folder: AnyPath, identity: DataIdentity
) -> None:
    """Copy the projections that a run is trained on into its folder, and remove other old copies.

    Args:
        data_folder: folder of the data set, with or without projections; None if it has none.
        run_folder: folder of the run.
        identity: of the data that the run is trained on.
    """
    grid = identity.grid is not None and identity.grid["pca"] is not None
    for file, used in ((PCA_FILE, identity.pca_features), (GRID_PCA_FILE, grid)):
        carry_projection(data_folder, run_folder, used=used, file=file)


def carry_projection(
    data_folder: AnyPath | None, run_folder: AnyPath, *, used: bool, file: str = PCA_FILE
) -> None:
    """Copy a projection into a run folder, or remove an old copy if none is used.

    Args:
        data_folder: folder of the data set, with or without a projection; None if it has none.
        run_folder: folder of the run.
        used: whether the run is trained on what it reduces.
        file: name of the file.
    """
    source = None if data_folder is None else Path(data_folder, file)
    target = Path(run_folder, file)
    if source is not None and source.resolve() == target.resolve():
        return
    if used and source is not None and source.exists():
        with replacing(target) as partial:
            shutil.copyfile(source, partial)
    else:
        target.unlink(missing_ok=True)
