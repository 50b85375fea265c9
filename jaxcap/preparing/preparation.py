"""From images and captions to a data folder in the course's layout.

Until the output `NAME` is complete, the folder `.NAME.partial` beside it holds the features encoded
so far. The same command resumes from them after a kill. At the end the finished data folder is
renamed into place, so the output is complete or absent. A resumed preparation writes the same bytes
as an uninterrupted one.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxcap.data.coco_writing import (
    CAPTIONS_FILE,
    DATASET_FILE,
    GRID_PCA_FILE,
    PCA_FILE,
    VOCABULARY_FILE,
    features_file,
    grid_file,
    references_file,
    urls_file,
    write_features,
    write_tables,
)
from jaxcap.data.dataset import SPLITS
from jaxcap.data.grid_writing import project_grid, write_grids
from jaxcap.data.projection import check_components, fit_projection
from jaxcap.files import AnyPath
from jaxcap.files.json import write_json
from jaxcap.files.lock import FolderLock
from jaxcap.files.whole import writing
from jaxcap.preparing.features import (
    ImageEncoder,
    encode_images,
    grid_shape,
    retry_unreadable,
)
from jaxcap.preparing.plan import Plan
from jaxcap.preparing.store import FeatureStore

REPORT_FILE = "report.json"
_CHUNK_ROWS = 1024
_CHUNK_GRIDS = 32


@dataclass(frozen=True)
class Prepared:
    """Result of a preparation.

    Attributes:
        folder: the data folder.
        plan: plan of its contents, without unreadable images.
        unreadable: images left out as unreadable, with the reason.
        variance: the share of the variance that PCA kept; None without PCA.
        grid_variance: likewise of the places of the grids.
    """

    folder: Path
    plan: Plan
    unreadable: dict[str, str]
    variance: float | None
    grid_variance: float | None = None


class Preparation:
    """Preparation in progress; a context manager, which closes its files at the end.

    It holds a lock: no other process can prepare the same output at the same time.

    Args:
        plan: the plan.
        encoder: encoder of the features.

    Attributes:
        store: the features so far.

    Raises:
        FileExistsError: the output exists, and may not be replaced.
        ValueError: there are too few images for PCA, or the encoder has no grid and one is to be
            written.
        BlockingIOError: another process prepares the same output; the message names it.
        OSError: the folder cannot be written.
    """

    def __init__(self, plan: Plan, encoder: ImageEncoder):
        config = plan.config
        self._output = Path(config.output).resolve()
        check_output(self._output, overwrite=config.overwrite)
        num_train = len(plan.of_split("train"))
        if config.pca is not None:
            check_components(config.pca, num_train, encoder.feature_dim)
        self._grid_shape = grid_shape(encoder) if config.grid else None
        if config.grid_pca is not None and self._grid_shape is not None:
            places, width = self._grid_shape
            check_components(config.grid_pca, num_train * places, width, "grid_pca")
        self._plan, self._encoder = plan, encoder
        self._partial = self._output.with_name(f".{self._output.name}.partial")
        images = [(image.name, image.path.stat().st_size) for image in plan.images]
        with ExitStack() as stack:
            stack.enter_context(FolderLock(self._partial, "give another `output`"))
            with self._writing():
                self.store = FeatureStore(
                    self._partial / "features",
                    images,
                    encoder.feature_dim,
                    config.batch_size,
                    {"encoder": encoder.describe()},
                    self._grid_shape,
                )
            retry_unreadable([image.path for image in plan.images], encoder, self.store)
            self._held = stack.pop_all()

    def __enter__(self) -> "Preparation":
        return self

    def __exit__(self, *error: object) -> None:
        self.store.close()
        self._held.close()

    def encode(self) -> Iterator[int]:
        """Encode the images that the store lacks; yield and raise as `encode_images`.

        Raises:
            OSError: the folder cannot be written.
        """
        paths = [image.path for image in self._plan.images]
        with self._writing():
            yield from encode_images(
                paths, self._encoder, self.store, strict=self._plan.config.strict
            )

    def _writing(self, *kinds: type[Exception]) -> AbstractContextManager[None]:
        """Name the output in errors of a full or broken disk: OSErrors and `kinds`."""
        remedy = "free space or give another `output`; the same command then resumes"
        return writing(self._output, remedy, *kinds)

    def finish(self) -> Prepared:
        """Write the data folder and move it into place.

        Raises:
            ValueError: every image of a split is unreadable.
            OSError: the folder cannot be written.
        """
        unreadable = self.store.unreadable
        plan = self._plan.without(unreadable)
        names = {self._plan.images[row].name: unreadable[row] for row in sorted(unreadable)}
        made = self._partial / "output"
        shutil.rmtree(made, ignore_errors=True)
        # HDF5 may notice a full disk only on closing a file.
        with self._writing(RuntimeError):
            made.mkdir()
            grid, grid_variance = self._write_grids(made, plan)
            variance = self._write(made, plan, grid)
            report = _report(plan, names, variance)
            if grid is not None:
                report |= {"grid": grid, "grid_pca_variance": grid_variance}
            write_json(made / REPORT_FILE, report)
        check_output(self._output, overwrite=plan.config.overwrite)
        with self._writing():
            _put_in_place(made, self._output)
        self.store.close()
        self._held.close()
        shutil.rmtree(self._partial, ignore_errors=True)
        return Prepared(self._output, plan, names, variance, grid_variance)

    def _write(self, folder: Path, plan: Plan, grid: Mapping[str, Any] | None) -> float | None:
        features = self.store.features
        chunks = {split: _Chunks(features, self._rows(split), _CHUNK_ROWS) for split in SPLITS}
        width = self._encoder.feature_dim
        for split in SPLITS:
            shape = (len(plan.of_split(split)), width)
            write_features(folder / features_file(split, False), shape, chunks[split])
        projection = variance = None
        if plan.config.pca is not None:
            projection, variance = fit_projection(lambda: chunks["train"], plan.config.pca)
            projection.save(folder / PCA_FILE)
            for split in SPLITS:
                shape = (len(plan.of_split(split)), plan.config.pca)
                reduced = map(projection.apply, chunks[split])
                write_features(folder / features_file(split, True), shape, reduced)
        write_tables(
            folder,
            plan.vocabulary,
            {split: plan.tables(split) for split in SPLITS},
            name=plan.config.name or self._output.name,
            about={
                "encoder": self._encoder.describe(),
                "pca": projection and projection.describe(),
                "grid": grid,
                "tokenizer": plan.config.tokenizer,
                "image_ids": True,
            },
        )
        return variance

    def _write_grids(self, folder: Path, plan: Plan) -> tuple[dict[str, Any] | None, float | None]:
        """Write the grids, if any; return their description and the share of the variance kept."""
        grids, components = self.store.grids, plan.config.grid_pca
        if grids is None or self._grid_shape is None:
            return None, None
        chunks = {split: _Chunks(grids, self._rows(split), _CHUNK_GRIDS) for split in SPLITS}
        (places, width), projection, variance = self._grid_shape, None, None
        if components is not None:
            projection, variance = fit_projection(
                lambda: (c.reshape(-1, width).astype(np.float32) for c in chunks["train"]),
                components,
                "grid_pca",
            )
            projection.save(folder / GRID_PCA_FILE)
            width = components
        for split in SPLITS:
            shape = (len(chunks[split].rows), places, width)
            projected = (project_grid(chunk, projection) for chunk in chunks[split])
            write_grids(folder / grid_file(split), shape, projected)
        pca = projection and projection.describe()
        return {"places": places, "width": width, "pca": pca}, variance

    def _rows(self, split: str) -> np.ndarray:
        """Rows of the readable images of a split."""
        rows = [
            row
            for row, image in enumerate(self._plan.images)
            if image.split == split and row not in self.store.unreadable
        ]
        return np.array(rows, np.int64)


@dataclass(frozen=True)
class _Chunks(Iterable[Float[np.ndarray, "n ..."]]):
    """Some rows of an array larger than memory, `size` at a time."""

    array: np.ndarray
    rows: np.ndarray
    size: int

    def __iter__(self) -> Iterator[Float[np.ndarray, "n ..."]]:
        for start in range(0, len(self.rows), self.size):
            yield self.array[self.rows[start : start + self.size]]


def check_output(output: AnyPath, *, overwrite: bool) -> None:
    """Refuse to overwrite anything except, with `overwrite`, an earlier data folder.

    Raises:
        FileExistsError: the output exists and may not be replaced.
    """
    output = Path(output).expanduser()
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not output.is_dir():
        raise FileExistsError(f"{output}: is a file; give a folder as `output`")
    ours = {CAPTIONS_FILE, VOCABULARY_FILE, DATASET_FILE, PCA_FILE, REPORT_FILE, ".DS_Store"}
    ours.add(GRID_PCA_FILE)
    for split in SPLITS:
        ours |= {features_file(split, True), features_file(split, False), grid_file(split)}
        ours |= {urls_file(split), references_file(split)}
    foreign = sorted({path.name for path in output.iterdir()} - ours)
    if foreign:
        raise FileExistsError(
            f"{output}: holds {foreign[0]!r}, which no preparation wrote; give another `output`"
        )
    if not overwrite:
        raise FileExistsError(
            f"{output}: already holds a data set; replace it with `overwrite`, or give another "
            "`output`"
        )


def _put_in_place(made: Path, output: Path) -> None:
    old = output.with_name(f".{output.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.rename(old)
    made.rename(output)
    shutil.rmtree(old, ignore_errors=True)


def _report(plan: Plan, unreadable: Mapping[str, str], variance: float | None) -> dict[str, Any]:
    return {
        "notes": list(plan.notes),
        "result": plan.describe(),
        "missing": list(plan.missing),
        "unreadable": dict(unreadable),
        "coverage": {split: asdict(found) for split, found in plan.coverage.items()},
        "tokenizer": plan.config.tokenizer,
        "min_count": plan.config.min_count,
        "max_length": plan.config.max_length,
        "pca_variance": variance,
    }
