"""Reading of the course's COCO files; `jaxcap.data.coco_writing` writes them.

A data folder holds, for each split (`train`, `val`) of M captions of L ids over K images,

    coco2014_captions.h5         SPLIT_captions    (M, L) integers, `<START> ... <END> <NULL> ...`
                                 SPLIT_image_idxs  (M,) integers, rows of the features
    SPLIT2014_vgg16_fc7_pca.h5   features          (K, D) floats; or without `_pca`
    SPLIT2014_grid.h5            grid              (K, L, C) floats, L vectors an image; written by
                                 jaxcap, not in the course's files, and loaded only if asked for
    SPLIT2014_urls.txt           K lines, the URL of each image; may be missing
    coco2014_vocab.json          the V words
    references_SPLIT.json        the original captions in COCO's form, with rows of the features as
                                 image ids; written by jaxcap, not in the course's files
    dataset.json                 the name of the data set, the encoder of its features, and the
                                 shape of its grids; written by jaxcap, not in the course's files
    pca.h5, grid_pca.h5          the projections of the features in `_pca` and of reduced grids;
                                 written by jaxcap, not in the course's files

All of it is checked while it is read, so the result of `load_coco` can be indexed safely.
`jaxcap.data.grid_loading` loads the grids.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Int, Integer

from jaxcap.data.checks import check_captions
from jaxcap.data.coco_reading import SplitReader, open_splits
from jaxcap.data.coco_writing import (
    CAPTIONS_FILE,
    DATASET_FILE,
    VOCABULARY_FILE,
    features_file,
    write_coco,
)
from jaxcap.data.dataset import SPLITS, Dataset, Split, SplitArrays
from jaxcap.data.identity import Counts, DataSource
from jaxcap.data.image import Image
from jaxcap.data.sharded import padding, read_features, read_sharded
from jaxcap.files import AnyPath
from jaxcap.files.hdf5 import find_dataset, open_hdf5, place, read_floats, read_integers
from jaxcap.files.json import read_json
from jaxcap.files.text import quote
from jaxcap.text.vocabulary import Vocabulary

__all__ = ["SplitArrays", "load_arrays", "load_coco", "training_captions", "write_coco"]


def load_coco(
    data_dir: AnyPath,
    *,
    pca_features: bool | None = None,
    max_train: int | None = None,
    key: jax.Array | None = None,
    splits: Sequence[str] = SPLITS,
    sharding: NamedSharding | None = None,
) -> Dataset:
    """Load a data folder in the course's layout.

    Args:
        data_dir: the folder, with the files of both splits even if you load one.
        pca_features: read the features reduced by PCA (512 in the course's files) rather than the
            full ones (4096 of fc7 in the course's files); None for the reduced ones if they exist.
        max_train: number of training captions to draw, with replacement as in the course's code;
            all features are kept. None for all captions.
        key: random key of that draw.
        splits: names of the splits to load.
        sharding: sharding of the rows of the training split. Each process then reads only the
            rows of its devices. The validation split is always read whole.

    Returns:
        The data, on the default device, with the training split as `sharding` says.

    Raises:
        FileNotFoundError: the folder or a file in it is missing.
        ValueError: an argument or the contents of a file are wrong; the message names the file,
            the dataset and the row.
        OSError: a file is cut short or cannot be read.
    """
    if unknown := set(splits) - set(SPLITS):
        raise ValueError(f"`splits` has {', '.join(sorted(unknown))}, expected some of {SPLITS}")
    if max_train is not None and max_train < 1:
        raise ValueError(f"`max_train` is {max_train}, expected 1 or more, or None for all")
    folder = Path(data_dir).expanduser()
    pca_features = _check_files(folder, pca_features)
    vocabulary = Vocabulary.load(folder / VOCABULARY_FILE)
    about = _read_about(folder / DATASET_FILE, vocabulary)
    with ExitStack() as stack:
        files = open_splits(stack, folder, pca_features)
        kept = None
        if max_train is not None:
            if key is None:
                raise ValueError("`max_train` draws captions at random; give a `key`")
            rows = len(files["train"].captions)
            kept = _draw(rows, max_train, key)
        return Dataset(
            name=about["name"],
            folder=folder,
            pca_features=pca_features,
            vocabulary=vocabulary,
            splits={
                split: _read_split(
                    SplitReader(folder, split, files[split], len(vocabulary)),
                    *((kept, sharding) if split == "train" else (None, None)),
                )
                for split in splits
            },
            counts={
                split: Counts(len(datasets.captions), len(datasets.features))
                for split, datasets in files.items()
            },
            caption_length=files["train"].captions.shape[1],
            feature_dim=files["train"].features.shape[1],
            source=DataSource("coco", str(folder.absolute()), pca_features, max_train, str(folder)),
            encoder=about.get("encoder"),
            pca=about.get("pca") if pca_features else None,
        )


def load_arrays(
    data_dir: AnyPath, *, pca_features: bool | None = None
) -> tuple[Vocabulary, dict[str, SplitArrays]]:
    """Load both splits of a data folder as NumPy arrays, without a device.

    The arrays are yours to change. No second copy of them is made.

    Args:
        data_dir: the folder.
        pca_features: as for `load_coco`, which raises the same errors.

    Returns:
        The words, and the arrays of each split.
    """
    folder = Path(data_dir).expanduser()
    pca_features = _check_files(folder, pca_features)
    vocabulary = Vocabulary.load(folder / VOCABULARY_FILE)
    _read_about(folder / DATASET_FILE, vocabulary)
    with ExitStack() as stack:
        files = open_splits(stack, folder, pca_features)
        readers = {s: SplitReader(folder, s, files[s], len(vocabulary)) for s in SPLITS}
        # Small files first, so that a fault in them is found before the long read.
        return vocabulary, {
            split: SplitArrays(
                captions=reader.captions(),
                image_idxs=reader.image_idxs(),
                urls=[url.decode("utf-8", "replace") for url in reader.urls()],
                features=read_floats(reader.datasets.features),
            )
            for split, reader in readers.items()
        }


def training_captions(
    data: Dataset, *, max_train: int | None = None, key: jax.Array | None = None
) -> list[str]:
    """Decode the different training captions of a data set, read without the features.

    Args:
        data: a data set, with any of its splits loaded.
        max_train: `max_train` of the `load_coco` call whose captions you want; None for all.
        key: `key` of that call.

    Raises:
        FileNotFoundError: the file of the captions is missing.
        ValueError: the file is not as `load_coco` expects it.
        OSError: the file is cut short or cannot be read.
    """
    if data.folder is None:
        captions = np.asarray(data.train.captions)
    else:
        captions = _read_training_captions(data.folder, len(data.vocabulary))
    if max_train is not None and key is not None:
        captions = captions[_draw(len(captions), max_train, key)]
    return list(dict.fromkeys(map(data.vocabulary.decode, captions)))


def _read_training_captions(folder: Path, words: int) -> Integer[np.ndarray, "M L"]:
    with open_hdf5(folder / CAPTIONS_FILE) as file:
        dataset = find_dataset(file, "train_captions", ndim=2, kind="integers")
        captions = read_integers(dataset)
        check_captions(captions, place(dataset), words, str(folder / VOCABULARY_FILE))
    return captions


def _draw(rows: int, max_train: int, key: jax.Array) -> Int[np.ndarray, "max_train"]:
    return np.asarray(jax.random.randint(key, (max_train,), 0, rows, jnp.int32))


def _check_files(folder: Path, pca_features: bool | None) -> bool:
    """Check that all files are there, and return which features to read."""
    if pca_features is None:
        pca_features = _has_features(folder, True) or not _has_features(folder, False)
    if not folder.is_dir():
        found = "is not a folder" if folder.exists() else "no such folder"
        raise FileNotFoundError(
            f"{folder}: {found}; `data_dir` names the folder that holds {CAPTIONS_FILE}"
        )
    features = [features_file(split, pca_features) for split in SPLITS]
    needed = [CAPTIONS_FILE, VOCABULARY_FILE, *features]
    missing = [file for file in needed if not (folder / file).exists()]
    if not missing:
        return pca_features
    remedy = f"the data folder needs {', '.join(needed)}"
    others = [features_file(split, not pca_features) for split in SPLITS]
    if set(missing) <= set(features) and _has_features(folder, not pca_features):
        remedy = (
            f"{' and '.join(others)} are there, and `pca_features={not pca_features}` reads them"
        )
    raise FileNotFoundError(f"{folder / missing[0]}: no such file; {remedy}")


def _has_features(folder: Path, pca_features: bool) -> bool:
    return all((folder / features_file(split, pca_features)).exists() for split in SPLITS)


def _read_about(path: Path, vocabulary: Vocabulary) -> dict[str, Any]:
    if not path.exists():
        return {"name": "coco2014"}
    value = read_json(path)
    name, digest = value.get("name"), value.get("vocabulary_digest", vocabulary.digest)
    if not isinstance(name, str) or not name:
        raise ValueError(f"{path}: name is {quote(name)}, expected the data set's name")
    if digest != vocabulary.digest:
        raise ValueError(
            f"{path}: vocabulary_digest is {quote(digest)}, but that of {VOCABULARY_FILE} is "
            f"{vocabulary.digest}; put back the vocabulary that the captions were written with"
        )
    encoder = value.get("encoder")
    if isinstance(encoder, dict) and not isinstance(encoder.get("name"), str):
        raise ValueError(f"{path}: encoder is {quote(encoder)}, expected an object with a name")
    for field in ("encoder", "pca"):
        if not isinstance(value.get(field), dict | None):
            raise ValueError(f"{path}: {field} is {quote(value[field])}, expected an object")
    return value


def _read_split(
    reader: SplitReader,
    kept: Int[np.ndarray, "max_train"] | None,
    sharding: NamedSharding | None,
) -> Split:
    def placed(dataset: h5py.Dataset, read: Callable[..., np.ndarray]) -> Array:
        if sharding is not None and kept is None:
            return read_sharded(dataset.shape, np.dtype(np.int32), sharding, read)
        values = read() if kept is None else read()[kept]
        if sharding is None:
            return jax.device_put(values)
        return read_sharded(values.shape, values.dtype, sharding, lambda a, b: values[a:b])

    datasets = reader.datasets
    # Small files first, so that a fault in them is found before the long read.
    captions = placed(datasets.captions, reader.captions)
    image_idxs = placed(datasets.image_idxs, reader.image_idxs)
    urls = reader.urls()
    rows = len(datasets.captions) if kept is None else len(kept)
    return Split(
        captions=captions,
        image_idxs=image_idxs,
        images=Image(read_features(datasets.features, sharding)),
        urls=np.array(urls, np.bytes_) if urls else np.empty(0, "S1"),
        padding=(padding(rows, sharding), padding(len(datasets.features), sharding)),
    )
