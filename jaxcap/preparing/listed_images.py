"""The pictures that a file names, found in a folder, to caption them under their ids."""

from typing import NamedTuple

from jaxcap.files import AnyPath
from jaxcap.formats.entries import ImageId
from jaxcap.formats.read import read_caption_file
from jaxcap.preparing.image_search import find_images


class ListedImages(NamedTuple):
    """Pictures of a list.

    Attributes:
        ids: the id of each picture by its path; its name if the file has no ids.
        missing: what is said of those that the folder lacks; empty if it has all.
    """

    ids: dict[str, ImageId]
    missing: str


def find_listed_images(file: AnyPath, folder: AnyPath) -> ListedImages:
    """Find the pictures that a file names, such as COCO's `image_info_test2014.json`.

    Args:
        file: a file of any caption format; its captions are not used and may be missing.
        folder: folder of the pictures.

    Raises:
        FileNotFoundError: there is no such file or folder, or the folder has none of the pictures.
        ValueError: the file is of no known format.
    """
    images = {image.name: image for image in read_caption_file(file).images}
    found = find_images(folder, [*images])
    ids: dict[str, ImageId] = {}
    for name, path in found.paths.items():
        number = images[name].id
        ids[str(path)] = name if number is None else number
    missing = ""
    if found.missing:
        missing = (
            f"{folder}: {len(found.missing):,} of {len(images):,} images of {file} are missing: "
            f"{found.near.list(found.missing)}"
        )
    if not ids:
        raise FileNotFoundError(missing or f"{file}: names no image")
    return ListedImages(ids, missing)
