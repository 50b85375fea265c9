"""References in any caption format besides COCO's, such as the file that `prepare` was given."""

import warnings
from pathlib import Path
from typing import Any

from jaxcap.files import AnyPath
from jaxcap.files.json import parse_json
from jaxcap.files.text import read_text
from jaxcap.formats.entries import ImageId, ReadOptions
from jaxcap.formats.read import name_of_json, read_caption_file
from jaxcap.formats.records import is_json_lines
from jaxcap.scoring.image_ids import read_id

_SHARDS = (".parquet", ".tar")


def read_coco_value(path: AnyPath) -> Any | None:
    """Read the JSON of references in COCO's form, or of results given in their place.

    Returns:
        The value; None for a file of another caption format.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not text in UTF-8, or not JSON though it begins so.
        OSError: it cannot be read.
    """
    if Path(path).is_dir() or Path(path).suffix.lower() in _SHARDS:
        return None
    text = read_text(path)
    if text.lstrip()[:1] not in ("{", "[") or is_json_lines(text):
        return None
    value = parse_json(path, text)
    if isinstance(value, list):
        return value if _may_be_results(value) else None
    return value if "annotations" in value or name_of_json(value) in ("coco", None) else None


def _may_be_results(entries: list[Any]) -> bool:
    """Say whether a list may be results: they have an `image_id` each, and a caption an image."""
    found = [entry for entry in entries if isinstance(entry, dict)]
    named = [entry["image"] for entry in found if isinstance(entry.get("image"), str)]
    return (
        all("image_id" in entry for entry in found)
        and not any(isinstance(entry.get("caption"), list) for entry in found)
        and not len(named) == len(entries) > len(set(named))
    )


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
