"""Writing of a data folder in the course's layout, at once or in parts.

`write_coco` writes arrays from memory. For larger data use its two halves: `write_tables` for all
small files, and `write_features` for the features of a split, chunk by chunk. `jaxcap.data.coco`
describes the files.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float, Int

from jaxcap.data.checks import (
    check_arrays,
    check_captions,
    check_finite,
    check_urls,
    check_widths,
)
from jaxcap.data.dataset import SPLITS, SplitArrays
from jaxcap.files import AnyPath
from jaxcap.files.json import write_json
from jaxcap.text.vocabulary import Vocabulary

CAPTIONS_FILE = "coco2014_captions.h5"
VOCABULARY_FILE = "coco2014_vocab.json"
DATASET_FILE = "dataset.json"
PCA_FILE = "pca.h5"
GRID_PCA_FILE = "grid_pca.h5"


def features_file(split: str, pca_features: bool) -> str:
    """Name the file with a split's features."""
    return f"{split}2014_vgg16_fc7{'_pca' if pca_features else ''}.h5"


def grid_file(split: str) -> str:
    """Name the file with a split's grids."""
    return f"{split}2014_grid.h5"


def urls_file(split: str) -> str:
    """Name the file with a split's URLs."""
    return f"{split}2014_urls.txt"


def references_file(split: str) -> str:
    """Name the file with a split's original captions."""
    return f"references_{split}.json"


@dataclass(frozen=True, eq=False)
class SplitTables:
    """Split of M captions of L ids over K images, without the features."""

    captions: Int[np.ndarray, "M L"]
    """Word ids, rows `<START> ... <END> <NULL>`; written as int32."""
    image_idxs: Int[np.ndarray, "M"]
    """Rows of the features, one a caption; written as int32."""
    urls: Sequence[str]
    """One URL an image, or none at all."""
    references: Sequence[tuple[int | str, str, Sequence[str]]] = ()
    """Id, file name and original captions of each image, or none at all."""


def write_coco(
    folder: AnyPath,
    vocabulary: Vocabulary,
    splits: Mapping[str, SplitArrays],
    *,
    name: str,
    pca_features: bool = True,
    encoder: Mapping[str, Any] | None = None,
) -> None:
    """Write a data folder in the course's layout; equal data give equal bytes.

    Args:
        folder: the folder; created if missing. Files of the same names are replaced one by one.
            For all or nothing, write into a new folder and rename it.
        vocabulary: the V words.
        splits: `train` and `val`.
        name: the data set's name.
        pca_features: whether to write the features under the name of those reduced by PCA.
        encoder: encoder of the features, from `Encoder.describe`; None if unknown.

    Raises:
        ValueError: `load_coco` would refuse the arrays or the name.
    """
    _check_splits(splits, name)
    for split, arrays in splits.items():
        names = [f"{split}.{field}" for field in ("captions", "image_idxs", "features")]
        given = (arrays.captions, arrays.image_idxs, arrays.features)
        check_arrays(given, names, len(vocabulary), "the vocabulary")
        _check_written_urls(split, arrays)
    for field in ("captions", "features"):
        check_widths({f"{s}.{field}": getattr(a, field).shape for s, a in splits.items()})
    tables = {s: SplitTables(a.captions, a.image_idxs, a.urls) for s, a in splits.items()}
    write_tables(folder, vocabulary, tables, name=name, about={"encoder": encoder})
    # Of other images, if any.
    (Path(folder) / GRID_PCA_FILE).unlink(missing_ok=True)
    for split, arrays in splits.items():
        path = Path(folder) / features_file(split, pca_features)
        features = arrays.features.astype(np.float32, copy=False)
        _write_hdf5(path, {"features": features})
        (Path(folder) / grid_file(split)).unlink(missing_ok=True)


def write_tables(
    folder: AnyPath,
    vocabulary: Vocabulary,
    tables: Mapping[str, SplitTables],
    *,
    name: str,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write all files of a data folder except those with features.

    Args:
        folder: as for `write_coco`.
        vocabulary: the V words.
        tables: tables of `train` and `val`.
        name: name of the data set.
        about: what else to record of the data set in plain JSON, such as `encoder` and `pca`, from
            `Encoder.describe` and `Projection.describe`; entries of None are left out.

    Raises:
        ValueError: a split or the name is missing, or ids are outside the vocabulary.
    """
    _check_splits(tables, name)
    for split, table in tables.items():
        check_captions(table.captions, f"{split}.captions", len(vocabulary), "the vocabulary")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary.save(folder / VOCABULARY_FILE)
    known = {"name": name, "vocabulary_digest": vocabulary.digest, **(about or {})}
    write_json(folder / DATASET_FILE, {k: v for k, v in known.items() if v is not None})
    captions = {}
    for split in SPLITS:
        table = tables[split]
        captions[f"{split}_captions"] = table.captions.astype(np.int32, copy=False)
        captions[f"{split}_image_idxs"] = table.image_idxs.astype(np.int32, copy=False)
        urls = folder / urls_file(split)
        if table.urls:
            urls.write_bytes("".join(f"{url}\n" for url in table.urls).encode("utf-8"))
        else:
            urls.unlink(missing_ok=True)
        references = folder / references_file(split)
        if table.references:
            write_json(references, _references(table.references))
        else:
            references.unlink(missing_ok=True)
    _write_hdf5(folder / CAPTIONS_FILE, captions)


def write_features(
    path: AnyPath, shape: tuple[int, int], chunks: Iterable[Float[np.ndarray, "n D"]]
) -> None:
    """Write a split's features chunk by chunk.

    Args:
        path: the file; replaced if it exists.
        shape: shape of all features, (K, D).
        chunks: the rows in order, any number at a time; written as float32.

    Raises:
        ValueError: a feature is not finite, or the chunks together do not have that shape.
    """

    def finite() -> Iterator[Float[np.ndarray, "n D"]]:
        row = 0
        for chunk in chunks:
            check_finite(chunk, f"{path}: features", row)
            yield chunk
            row += len(chunk)

    write_rows(path, "features", shape, finite(), dtype=np.float32)


def write_rows(
    path: AnyPath,
    name: str,
    shape: tuple[int, ...],
    parts: Iterable[Float[np.ndarray, "_ ..."]],
    **layout: Any,
) -> None:
    """Write a file with one dataset, some rows at a time; equal rows give equal bytes.

    Args:
        path: the file; replaced if it exists.
        name: name of the dataset.
        shape: shape of all rows together.
        parts: the rows in order, any number at a time.
        **layout: `dtype` and, if rows are stored in chunks, `chunks`, as h5py takes them.

    Raises:
        ValueError: the parts together do not have that shape.
    """
    row = 0
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(name, shape, track_times=False, **layout)
        for part in parts:
            if row + len(part) > shape[0] or part.shape[1:] != shape[1:]:
                raise ValueError(
                    f"{path}: got rows {part.shape} at row {row}, expected {shape} in all"
                )
            dataset[row : row + len(part)] = part
            row += len(part)
    if row != shape[0]:
        raise ValueError(f"{path}: got {row} rows of {name}, expected {shape[0]}")


def _check_splits(splits: Mapping[str, Any], name: str) -> None:
    if set(splits) != set(SPLITS):
        raise ValueError(f"`splits` has {', '.join(sorted(splits))}, expected {SPLITS}")
    if not name:
        raise ValueError("`name` is empty, expected the data set's name")


def _check_written_urls(split: str, arrays: SplitArrays) -> None:
    if arrays.urls:
        check_urls(arrays.urls, f"{split}.urls", len(arrays.features), f"{split}.features")
    for i, url in enumerate(arrays.urls):
        if not url or url.split() != [url]:
            raise ValueError(f"{split}.urls[{i}] is {url!r}, expected text without spaces")


def _references(images: Sequence[tuple[int | str, str, Sequence[str]]]) -> dict[str, Any]:
    """Return captions in COCO's form, with the images in the order of rows of the features."""
    captions = [(image, caption) for image, _, found in images for caption in found]
    return {
        "images": [{"id": image, "file_name": name} for image, name, _ in images],
        "annotations": [
            {"id": number, "image_id": image, "caption": caption}
            for number, (image, caption) in enumerate(captions, start=1)
        ],
    }


def _write_hdf5(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            # A time stamp would make the bytes differ from one run to the next.
            file.create_dataset(name, data=array, track_times=False)
