"""The readers of files, each as a function of a path, with small files that it takes.

`check` is what is fuzzed: a reader gives something back, or raises one of its documented errors, in
one line that begins with the file's path.
"""

import io
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from safetensors.numpy import save as save_tensors

from jaxcap.data.projection import Projection
from jaxcap.data.sharded import read_features
from jaxcap.files.hdf5 import find_dataset, open_hdf5, read_integers
from jaxcap.files.tensors import read_all_tensors, read_tensors
from jaxcap.formats.entries import CaptionedImage
from jaxcap.formats.read import read_caption_file
from jaxcap.learning.metrics import METRICS_FILE, read_metrics
from jaxcap.preparing.splits import SplitChoice, assign_splits
from jaxcap.scoring.results import read_references, read_results
from jaxcap.text.vocabulary import Vocabulary
from jaxcap.text.words import split_words
from jaxcap.vision.images import open_image

CORPUS = Path(__file__).parent / "corpus"
"""What fuzzing found, in a folder for each reader."""


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Attributes:
        read: reads the file at a path.
        seeds: small files that it takes.
        file: the name that its files have.
    """

    read: Callable[[Path], object]
    seeds: Callable[[], list[bytes]]
    file: str


def check(name: str, data: bytes, folder: Path) -> str:
    """Let a reader read data, and say how it went.

    Args:
        name: of the reader.
        data: a file's contents.
        folder: where to put the file.

    Returns:
        "read", or the error's kind and the words of its message.

    Raises:
        AssertionError: the message is not one line that begins with the path.
    """
    reader = READERS[name]
    path = folder / reader.file
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(path)
    except (OSError, ValueError) as error:
        message = str(error)
        assert message.startswith(str(path)), f"{type(error).__name__}: {message:.300}"
        assert "\n" not in message and len(message) < 2000, message[:3000]
        words = "".join(c if c.isalpha() else " " for c in message[len(str(path)) :])
        return " ".join([type(error).__name__, *words.split()[:6]])
    return "read"


def _hdf5(path: Path) -> None:
    with open_hdf5(path) as file:
        read_integers(find_dataset(file, "captions", ndim=2, kind="integers"))
        read_features(find_dataset(file, "features", ndim=2, kind="floats"))


def _stored(arrays: dict[str, np.ndarray], **options) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **options)
    return buffer.getvalue()


def _hdf5_seeds() -> list[bytes]:
    arrays = {"captions": np.ones((3, 2), np.int32), "features": np.ones((4, 2), np.float32)}
    return [_stored(arrays), _stored(arrays, chunks=(2, 2), compression="gzip")]


def _pca_seeds() -> list[bytes]:
    return [_stored({name: np.ones((2, 3), np.float32) for name in ("mean", "components")})]


def _tensors(path: Path) -> None:
    read_all_tensors(path)
    read_tensors(path, {"a.weight": (2, 3), "a.bias": (3,)})


_ARRAYS = {"a.weight": np.ones((2, 3), np.float32), "a.bias": np.ones(3, np.float64)}


def _saved(save: Callable[..., None], *arguments, **named) -> bytes:
    buffer = io.BytesIO()
    save(buffer, *arguments, **named)
    return buffer.getvalue()


def _npz_seeds() -> list[bytes]:
    return [_saved(save, **_ARRAYS) for save in (np.savez, np.savez_compressed)]


def _image_seeds() -> list[bytes]:
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    formats = ("png", "jpeg", "gif", "bmp", "tiff", "webp", "tga", "ppm", "ico", "jpeg2000")
    return [_saved(image.save, format) for format in formats]


_COCO = {
    "images": [{"id": 1, "file_name": "a.jpg"}],
    "annotations": [{"image_id": 1, "id": 1, "caption": "A cat."}],
}
_RESULTS = b'[{"image_id": 1, "caption": "a cat"}]'
_METRICS = b'{"iteration": 1, "loss": 2.5}\n{"iteration": 2, "loss": NaN}\n'
_KARPATHY = {"images": [{"filename": "a.jpg", "split": "val", "sentences": [{"raw": "a cat"}]}]}


def _captions(path: Path) -> None:
    for image in read_caption_file(path).images:
        for caption in image.captions:
            split_words(caption, "ptb")


def _caption_seeds() -> list[bytes]:
    texts = [
        json.dumps(_COCO),
        json.dumps(_KARPATHY),
        "a.jpg#0\tA cat .\na.jpg#1\tIt's 1/2 of 10 cats.\n",
        'image,caption,split\na.jpg,"a cat, a dog",train\n',
        "a.jpg\tun chat\tval\nb.jpg\tein Hund\ttrain\n",
        json.dumps([{"image": "a.jpg", "caption": ["a cat"], "image_id": "7"}]),
        json.dumps({"a.jpg": ["a cat", "two cats"]}),
        '{"file_name": "a.jpg", "text": "a cat"}\n{"file_name": "b.jpg", "text": "a dog"}\n',
        'image_name| comment_number| comment\na.jpg| 0| a "cat\nb.jpg| 4   A dog\n',
    ]
    return [text.encode() for text in texts]


def _vocabulary_seeds() -> list[bytes]:
    words = ["<NULL>", "<START>", "<END>", "<UNK>", "a", "\u732b"]
    value = {"idx_to_word": words, "word_to_idx": {word: i for i, word in enumerate(words)}}
    return [json.dumps(value, ensure_ascii=ascii_only).encode() for ascii_only in (True, False)]


def _split_list(path: Path) -> None:
    other = path.with_name("other.txt")
    # A name in both lists is a fault of the other one, so its name is not found by chance.
    other.write_text("only in the other list.png\n")
    names = ("a.jpg", "only in the other list.png")
    images = [CaptionedImage(name, ["a cat"]) for name in names]
    assign_splits(images, SplitChoice(train_list=path, val_list=other))


READERS = {
    "hdf5": Reader(_hdf5, _hdf5_seeds, "a.h5"),
    "projection": Reader(Projection.load, _pca_seeds, "pca.h5"),
    "npz": Reader(_tensors, _npz_seeds, "a.npz"),
    "safetensors": Reader(_tensors, lambda: [save_tensors(_ARRAYS)], "a.safetensors"),
    "images": Reader(open_image, _image_seeds, "a.png"),
    "captions": Reader(_captions, _caption_seeds, "captions"),
    "vocabulary": Reader(Vocabulary.load, _vocabulary_seeds, "vocabulary.json"),
    "results": Reader(read_results, lambda: [_RESULTS, _RESULTS.replace(b"1", b'"1"')], "a.json"),
    "references": Reader(read_references, lambda: [json.dumps(_COCO).encode()], "a.json"),
    "metrics": Reader(lambda path: read_metrics(path.parent), lambda: [_METRICS], METRICS_FILE),
    "split_list": Reader(_split_list, lambda: [b"a.jpg\nc.jpg\r\n"], "list.txt"),
}
