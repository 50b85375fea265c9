"""The pictures that a file names, found in a folder, to caption them under their ids."""

from typing import NamedTuple

from jaxcap.files import AnyPath
from jaxcap.formats.entries import ImageId
from jaxcap.formats.read import read_caption_file
from jaxcap.preparing.image_search import find_images


class ListedImages(NamedTuple):
    """Pictures of a list.

    Attributes:
        paths: the path of each picture by its id, or by its name if the file has no ids.
        missing: what is said of those that the folder lacks; empty if it has all.
    """

    paths: dict[ImageId, str]
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
    paths: dict[ImageId, str] = {}
    for name, path in found.paths.items():
        number = images[name].id
        paths[name if number is None else number] = str(path)
    missing = ""
    if found.missing:
        missing = (
            f"{folder}: {len(found.missing):,} of {len(images):,} images of {file} are missing: "
            f"{found.near.list(found.missing)}"
        )
    if not paths:
        raise FileNotFoundError(missing or f"{file}: names no image")
    return ListedImages(paths, missing)
