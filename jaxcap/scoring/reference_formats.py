"""References in any caption format besides COCO's, such as the file that `prepare` was given."""

import warnings
from typing import Any

from jaxcap.files import AnyPath
from jaxcap.files.json import read_json_value
from jaxcap.files.text import read_text
from jaxcap.formats.entries import ReadOptions
from jaxcap.formats.read import read_caption_file
from jaxcap.scoring.image_ids import ImageId, read_id


def has_other_format(path: AnyPath) -> bool:
    """Say whether a file is references of another format than COCO's, and no results.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither a folder nor text in UTF-8, or not JSON though it begins so.
        OSError: it cannot be read.
    """
    if read_text(path).lstrip()[:1] not in ("{", "["):
        return True
    try:
        value = read_json_value(path)
    except ValueError as error:
        return "JSON Lines" in str(error)
    if isinstance(value, list):
        return bool(value) and _has_several(value)
    if not isinstance(value, dict) or "annotations" in value:
        return False
    images = value.get("images")
    first = images[0] if isinstance(images, list) and images else None
    if isinstance(first, dict):
        return "sentences" in first or "captions" in first
    return any(isinstance(found, str | list) and found for found in value.values())


def _has_several(entries: list[Any]) -> bool:
    """Say whether an image has several captions, which no file of results has."""
    found = [entry for entry in entries if isinstance(entry, dict)]
    if any(isinstance(entry.get("caption"), list) for entry in found):
        return True
    named = [entry["image"] for entry in found if isinstance(entry.get("image"), str)]
    return len(named) == len(entries) > len(set(named))


def read_other_format(
    path: AnyPath, keep_rejected: bool
) -> tuple[dict[ImageId, list[str]], dict[ImageId, str], tuple[ImageId, ...]]:
    """Read the captions and the name of each image by its id, or its name if the file has no ids.

    Args:
        path: the file.
        keep_rejected: as for `jaxcap.scoring.results.read_references`.

    Returns:
        The captions and the names by image, and the ids of all images in order.

    Raises:
        ValueError: the file is of no known format or has no captions.
    """
    file = read_caption_file(path, ReadOptions(keep_rejected=keep_rejected))
    captions: dict[ImageId, list[str]] = {}
    names: dict[ImageId, str] = {}
    for image in file.images:
        number = read_id(image.name if image.id is None else image.id, str(path))
        names[number] = image.name
        if image.raw:
            captions[number] = list(image.raw)
    if not captions:
        raise ValueError(f"{path}: holds no captions to score against")
    for note in file.notes:
        warnings.warn(f"{path}: {note}", stacklevel=4)
    return captions, names, tuple(names)
