"""The files of named images in a folder, found before any is opened."""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxcap.files import AnyPath
from jaxcap.preparing.near_names import NearNames, normal
from jaxcap.vision.formats import is_image_name


@dataclass(frozen=True)
class FoundImages:
    """Result of a search for named images.

    Attributes:
        paths: file of each name that was found.
        missing: names that were not found, in order.
        elsewhere: number of names found under another path, by their last parts.
        others: number of images in the folder without a name.
        near: the files of the folder, to find those whose names are near a missing one.
    """

    paths: dict[str, Path]
    missing: list[str]
    elsewhere: int
    others: int
    near: NearNames


def find_images(folder: AnyPath, names: Sequence[str]) -> FoundImages:
    """Find the files of names in a folder and its subfolders.

    A name is a path below the folder. If there is no such file, its first folders are left out, one
    after the other. Then its last part is looked up in all subfolders, where it must be the only
    one. A file that two names lead to in these ways is that of neither. A name without an ending
    finds the only image that has it before its own ending. Composed and decomposed letters with
    marks are equal (NFC). A name that leads out of the folder, by `..` or as an absolute path, is
    missing even if that file exists. A link in the folder is followed, since the owner of the
    folder made it.

    Args:
        folder: folder to search; hidden folders in it are skipped.
        names: names of images, with `/` or `\\` between folders.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "is not a folder" if folder.exists() else "no such folder"
        raise FileNotFoundError(f"{folder}: {found}, expected one with images")
    files = _list(folder)
    by_last: dict[str, list[Path]] = defaultdict(list)
    for name, path in files.items():
        last = name.rpartition("/")[2]
        by_last[last].append(path)
        if is_image_name(path):
            for key in {os.path.splitext(last)[0], os.path.splitext(name)[0]}:
                by_last[f"{key}/"].append(path)
    paths: dict[str, Path] = {}
    others: dict[str, Path] = {}
    for name in names:
        if path := files.get(normal(name)):
            paths[name] = path
        elif path := _outside_the_walk(folder, name):
            paths[name] = path
        elif len(found := by_last.get(f"{normal(name)}/", [])) == 1 and not is_image_name(name):
            paths[name] = found[0]
        elif path := _by_last_part(files, by_last, name):
            others[name] = path
    claims = Counter([*paths.values(), *others.values()])
    others = {name: path for name, path in others.items() if claims[path] == 1}
    paths |= others
    missing = [name for name in names if name not in paths]
    unnamed = sum(map(is_image_name, set(files.values()) - set(paths.values())))
    return FoundImages(paths, missing, len(others), unnamed, NearNames(files))


def _by_last_part(files: dict[str, Path], by_last: dict[str, list[Path]], name: str) -> Path | None:
    name = normal(name).replace("\\", "/")
    last = name
    while "/" in last:
        last = last.partition("/")[2]
        if path := files.get(last):
            return path
    for key in (last, *(() if is_image_name(last) else (f"{last}/",))):
        if len(found := by_last.get(key, [])) == 1:
            return found[0]
    return None


def _outside_the_walk(folder: Path, name: str) -> Path | None:
    """Find a file that the walk does not list: in linked folders, by `./` or an absolute path."""
    path = folder / name
    # `os.path.isfile` is False for a name that is too long; `Path.is_file` raises.
    return path if not _leads_out(folder, name) and os.path.isfile(path) else None


def _leads_out(folder: Path, name: str) -> bool:
    """Say whether a name leads out of a folder, without resolving links."""
    return not Path(os.path.abspath(folder / name)).is_relative_to(os.path.abspath(folder))


def _list(folder: Path) -> dict[str, Path]:
    files = {}
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            files[normal(path.relative_to(folder).as_posix())] = path
    return files
