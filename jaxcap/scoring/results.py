"""COCO's files of results and of references, checked when read.

Results are a list `[{"image_id": 1, "caption": "a cat"}, ...]`, one entry per image. References are
an object `{"annotations": [{"image_id": 1, "id": 1, "caption": "A cat."}, ...]}`, any number per
image. A fault that would change a score is a ValueError that names the file and the entry. A fault
that does not is one warning with a count.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jaxcap.files import AnyPath
from jaxcap.files.json import read_json_value
from jaxcap.files.text import LONGEST_CAPTION, quote, too_long
from jaxcap.files.whole import replacing

_RESULTS_FORM = '[{"image_id": 1, "caption": "a cat"}]'
_REFERENCES_FORM = '{"annotations": [{"image_id": 1, "id": 1, "caption": "A cat."}]}'


@dataclass(frozen=True)
class ReferenceFile:
    """Contents of a file of references."""

    captions: dict[int, list[str]]  # by image, at least one each
    urls: dict[int, str]  # by image, if given
    names: dict[int, str]  # names of the images' files, if given


def read_results(path: AnyPath) -> dict[int, str]:
    """Read one caption for each image.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has another form, is empty, or has an image twice.
    """
    value = read_json_value(path)
    if isinstance(value, dict) and "annotations" in value:
        raise ValueError(
            f"{path}: is a file of references, expected results {_RESULTS_FORM}; "
            "did you swap `results` and `references`?"
        )
    captions: dict[int, str] = {}
    for where, image, caption in _entries(path, value, "", _RESULTS_FORM):
        if image in captions:
            raise ValueError(
                f"{path}: {where} is the second caption of image {image}, expected one per image"
            )
        captions[image] = caption
    if not captions:
        raise ValueError(f"{path}: holds no captions, expected the form {_RESULTS_FORM}")
    if empty := sum(not caption.strip() for caption in captions.values()):
        warnings.warn(f"{path}: {empty} captions are empty; they count as wrong", stacklevel=2)
    return captions


def read_references(path: AnyPath) -> ReferenceFile:
    """Read the references of each image.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has another form, is empty, or has an annotation id twice.
    """
    value = read_json_value(path)
    if isinstance(value, list):
        raise ValueError(
            f"{path}: is a file of results, expected references {_REFERENCES_FORM}; "
            "did you swap `results` and `references`?"
        )
    if not isinstance(value, dict) or "annotations" not in value:
        found = quote(sorted(value)) if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"{path}: holds {found}, expected the form {_REFERENCES_FORM}")
    annotations = value["annotations"]
    captions: dict[int, list[str]] = {}
    for _, image, caption in _entries(path, annotations, "annotations", _REFERENCES_FORM):
        captions.setdefault(image, []).append(caption)
    if not captions:
        raise ValueError(f"{path}: annotations is empty, expected the form {_REFERENCES_FORM}")
    _check_ids(path, annotations)
    if empty := sum(not caption.strip() for image in captions.values() for caption in image):
        warnings.warn(
            f"{path}: {empty} references are empty; they count as references without words, as in "
            "the reference scorer",
            stacklevel=2,
        )
    images = value.get("images")
    urls = _texts(images, ("coco_url", "flickr_url", "url"))
    return ReferenceFile(captions, urls, _texts(images, ("file_name",)))


def write_results(path: AnyPath, captions: Mapping[int, str]) -> None:
    """Write one caption for each image, in the form that `read_results` reads."""
    entries = [{"image_id": image, "caption": caption} for image, caption in captions.items()]
    with replacing(path) as partial:
        partial.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def match(
    captions: dict[int, str],
    references: dict[int, list[str]],
    results_path: AnyPath,
    path: AnyPath,
) -> dict[int, list[str]]:
    """Find the references of the images that have a caption, in the order of the captions.

    Captions of images without references are removed from `captions`, with a warning.

    Args:
        captions: caption of each image; changed in place.
        references: references of each image.
        results_path: file of the captions, for messages.
        path: file of the references, for messages.

    Raises:
        ValueError: no image has a caption and a reference.
    """
    lacking = [image for image in captions if image not in references]
    if len(lacking) == len(captions):
        raise ValueError(
            f"no image of {results_path} has a reference in {path}: the captions are of the images "
            f"{_some(captions)} and the references of {_some(references)}"
        )
    for image in lacking:
        del captions[image]
    if lacking:
        warnings.warn(
            f"{results_path}: {len(lacking)} captions of images without references are left out, "
            f"first image {lacking[0]}",
            stacklevel=2,
        )
    if missing := len(references.keys() - captions.keys()):
        first = next(image for image in references if image not in captions)
        warnings.warn(
            f"{results_path}: {missing} of the {len(references)} images with references have no "
            f"caption, first image {first}; the scores are those of the other {len(captions)}",
            stacklevel=2,
        )
    return {image: references[image] for image in captions}


def _entries(path: AnyPath, value: Any, name: str, form: str) -> Iterator[tuple[str, int, str]]:
    """Iterate over the place, image and caption of each entry."""
    if not isinstance(value, list):
        found = type(value).__name__
        raise ValueError(f"{path}: {name or 'it'} is a {found}, expected the form {form}")
    texts = 0
    for i, entry in enumerate(value):
        where = f"{name}[{i}]" if name else f"entry {i}"
        if not isinstance(entry, dict):
            raise ValueError(f"{path}: {where} is {quote(entry)}, expected the form {form}")
        for field in ("image_id", "caption"):
            if field not in entry:
                raise ValueError(
                    f"{path}: {where} has no {field}, only {quote(sorted(entry))}; expected {form}"
                )
        image, caption = entry["image_id"], entry["caption"]
        if isinstance(image, str) and len(image) < 20 and image.isascii() and image.isdigit():
            texts += 1
            image = int(image)
        if not isinstance(image, int) or isinstance(image, bool):
            raise ValueError(f"{path}: {where} has image_id {quote(image)}, expected an integer")
        if not isinstance(caption, str):
            raise ValueError(f"{path}: {where} has caption {quote(caption)}, expected a string")
        if len(caption) > LONGEST_CAPTION:
            raise too_long(caption, f"{path}: {where}")
        yield where, image, caption
    if texts:
        warnings.warn(
            f"{path}: {texts} image ids are strings of digits and are read as numbers", stacklevel=3
        )


def _check_ids(path: AnyPath, annotations: list[dict[str, Any]]) -> None:
    seen: dict[object, int] = {}
    for i, annotation in enumerate(annotations):
        number = annotation.get("id")
        if isinstance(number, int | str) and seen.setdefault(number, i) != i:
            raise ValueError(
                f"{path}: annotations[{i}] repeats the id {quote(number)} of "
                f"annotations[{seen[number]}]; was a part of the file appended twice?"
            )


def _texts(images: Any, fields: tuple[str, ...]) -> dict[int, str]:
    """Find the first of some fields that each image has; images without any are left out."""
    found = {}
    for image in images if isinstance(images, list) else []:
        if isinstance(image, dict) and isinstance(image.get("id"), int):
            text = next((image[field] for field in fields if image.get(field)), None)
            if isinstance(text, str):
                found[image["id"]] = text
    return found


def _some(images: dict[int, Any]) -> str:
    first = ", ".join(map(str, list(images)[:3]))
    return first if len(images) <= 3 else f"{first} and {len(images) - 3} more"
