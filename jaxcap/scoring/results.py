"""Files of results and of references, checked when read.

In COCO's forms, results are a list `[{"image_id": 1, "caption": "a cat"}, ...]`, one entry per
image. References are an object `{"annotations": [{"image_id": 1, "id": 1, "caption": "A cat."},
...]}`, any number per image. Image ids are integers or strings. A fault that would change a score
is a ValueError that names the file and the entry. A fault that does not is one warning with a
count.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxcap.files import AnyPath
from jaxcap.files.json import read_json_value
from jaxcap.files.text import LONGEST_CAPTION, quote, read_text, too_long
from jaxcap.files.whole import replacing
from jaxcap.formats.coco import REJECTED
from jaxcap.formats.entries import ImageId
from jaxcap.scoring.image_ids import near_matches, read_id, show, some
from jaxcap.scoring.reference_formats import read_coco_value, read_other_format

_RESULTS_FORM = '[{"image_id": 1, "caption": "a cat"}]'
_REFERENCES_FORM = '{"annotations": [{"image_id": 1, "id": 1, "caption": "A cat."}]}'
_URLS = ("coco_url", "flickr_url", "vizwiz_url", "url")


@dataclass(frozen=True)
class ReferenceFile:
    """Contents of a file of references."""

    captions: dict[ImageId, list[str]]  # by image, at least one each
    urls: dict[ImageId, str]  # by image, if given
    names: dict[ImageId, str]  # names of the images' files, if given
    ids: tuple[ImageId, ...] = ()  # of the entries of `images`, in order and as written
    emptied: frozenset[ImageId] = frozenset()  # images all of whose references are left out


def read_results(path: AnyPath) -> dict[ImageId, str]:
    """Read one caption for each image.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has another form, is empty, or has an image twice.
    """
    return _results(path, _read_list(path))


def read_references(path: AnyPath, *, keep_rejected: bool = False) -> ReferenceFile:
    """Read the references of each image.

    Args:
        path: the file, in COCO's form, or a file or folder of another caption format.
        keep_rejected: keep the annotations that VizWiz marks as rejected or precanned, which its
            own evaluation leaves out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has another form, is empty, or has an annotation id twice.
    """
    return _references(path, read_coco_value(path), keep_rejected)


def read_both(
    results: AnyPath, references: AnyPath, *, keep_rejected: bool = False
) -> tuple[dict[ImageId, str], ReferenceFile]:
    """Read results and references, and say so if the two are swapped.

    Args:
        results: as for `read_results`, which raises the same errors.
        references, keep_rejected: as for `read_references`, which raises the same errors.
    """
    value = _read_list(results)
    if isinstance(value, dict) and "annotations" in value and Path(references).is_file():
        other = read_coco_value(references)
        if isinstance(other, list):
            raise ValueError(
                f"`results` and `references` are swapped: {results} holds references "
                f"({_count(value['annotations'])}) and {references} results ({_count(other)})"
            )
    captions = _results(results, value)
    other = read_coco_value(references)
    if isinstance(other, list):
        raise ValueError(
            f"{references}: is a list ({_count(other)}), expected references {_REFERENCES_FORM}"
        )
    return captions, _references(references, other, keep_rejected)


def _read_list(path: AnyPath) -> Any:
    first = read_text(path).lstrip()[:80].partition("\n")[0]
    if first and first[0] not in "[{":
        raise ValueError(
            f"{path}: begins with {quote(first)}, which is not JSON; write the captions as JSON, a "
            f"list in the form {_RESULTS_FORM}"
        )
    return read_json_value(path)


def _results(path: AnyPath, value: Any) -> dict[ImageId, str]:
    if isinstance(value, dict) and "annotations" in value:
        raise ValueError(
            f"{path}: is a file of references ({_count(value['annotations'])}), expected results "
            f"{_RESULTS_FORM}; did you swap `results` and `references`?"
        )
    captions: dict[ImageId, str] = {}
    repeated = []
    for where, image, caption in _entries(path, value, "", _RESULTS_FORM):
        if image in captions:
            repeated.append((where, image))
        captions.setdefault(image, caption)
    if repeated:
        where, image = repeated[0]
        raise ValueError(
            f"{path}: {where} is the second caption of image {show(image)}, expected one per "
            f"image; it holds {_count(value)}: keep one caption of each, or give the file in the "
            f"form {_REFERENCES_FORM} as `references` if these are references"
        )
    if not captions:
        raise ValueError(f"{path}: holds no captions, expected the form {_RESULTS_FORM}")
    if empty := sum(not caption.strip() for caption in captions.values()):
        warnings.warn(f"{path}: {empty} captions are empty; they count as wrong", stacklevel=2)
    return captions


def _references(path: AnyPath, value: Any | None, keep_rejected: bool) -> ReferenceFile:
    """Read references from JSON in COCO's form; of another format if it is None."""
    if value is None:
        captions, names, ids = read_other_format(path, keep_rejected)
        return ReferenceFile(captions, {}, names, ids)
    if isinstance(value, list):
        raise ValueError(
            f"{path}: is a list, as a file of results is ({_count(value)}), expected references "
            f"{_REFERENCES_FORM}; did you swap `results` and `references`?"
        )
    if not isinstance(value, dict) or not ("annotations" in value or "images" in value):
        found = quote(sorted(value)) if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"{path}: holds {found}, expected the form {_REFERENCES_FORM}")
    images, annotations = value.get("images"), value.get("annotations", [])
    if annotations == []:
        lists = f"lists {len(images):,} images" if isinstance(images, list) else "has no images"
        lacks = "annotations is empty" if "annotations" in value else "has no annotations"
        raise ValueError(
            f"{path}: {lists} and {lacks}, so it holds no references to score against, as the "
            f"test sets of challenges do; expected the form {_REFERENCES_FORM}"
        )
    captions: dict[ImageId, list[str]] = {}
    emptied: dict[ImageId, None] = {}
    left_out: dict[str, int] = dict.fromkeys(REJECTED, 0)
    for i, (_, image, caption) in enumerate(
        _entries(path, annotations, "annotations", _REFERENCES_FORM)
    ):
        marks = [mark for mark in REJECTED if annotations[i].get(mark)]
        if marks and not keep_rejected:
            left_out[marks[0]] += 1
            emptied[image] = None
        else:
            captions.setdefault(image, []).append(caption)
    _check_ids(path, annotations)
    bare = frozenset(image for image in emptied if image not in captions)
    if not captions:
        raise ValueError(
            f"{path}: every reference is marked as rejected or precanned; `keep_rejected=True` "
            "keeps them"
        )
    if any(left_out.values()):
        _tell_left_out(path, left_out, len(annotations), len(bare))
    if empty := sum(not caption.strip() for image in captions.values() for caption in image):
        warnings.warn(
            f"{path}: {empty} references are empty; they count as references without words, as in "
            "the reference scorer",
            stacklevel=2,
        )
    urls, names = (_texts(images, fields) for fields in (_URLS, ("file_name",)))
    return ReferenceFile(captions, urls, names, _ids(images), bare)


def write_results(path: AnyPath, captions: Mapping[ImageId, str]) -> None:
    """Write one caption for each image, in the form that `read_results` reads."""
    entries = [{"image_id": image, "caption": caption} for image, caption in captions.items()]
    with replacing(path) as partial:
        partial.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def match(
    captions: dict[ImageId, str],
    references: ReferenceFile,
    results_path: AnyPath,
    path: AnyPath,
) -> dict[ImageId, list[str]]:
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
    known = references.captions
    lacking = [image for image in captions if image not in known]
    bare = references.emptied | references.names.keys()
    unknown = [image for image in lacking if image not in bare]
    free = [image for image in known if image not in captions]
    near = near_matches(unknown, free, references.names) if unknown else ""
    if 0 in unknown and captions.keys() == set(range(len(captions))):
        near = "; their images are numbered from 0, like the rows of a data set that keeps no ids"
    if len(lacking) == len(captions):
        raise ValueError(
            f"no image of {results_path} has a reference in {path}: the captions are of "
            f"{len(captions):,} images, {some(captions)}, and the references of {len(known):,}, "
            f"{some(known)}{near}"
        )
    for image in lacking:
        del captions[image]
    if lacking:
        warnings.warn(
            f"{results_path}: {len(lacking)} captions of images without references are left out, "
            f"first image {show(lacking[0])}{near}",
            stacklevel=2,
        )
    if free:
        warnings.warn(
            f"{results_path}: {len(free)} of the {len(known)} images with references have no "
            f"caption, first image {show(free[0])}; the scores are those of the other "
            f"{len(captions)}",
            stacklevel=2,
        )
    return {image: known[image] for image in captions}


def _tell_left_out(path: AnyPath, counts: Mapping[str, int], whole: int, bare: int) -> None:
    kinds = [f"{count} {name.removeprefix('is_')}" for name, count in counts.items() if count]
    gone = f", and {bare} images have none left" if bare else ""
    warnings.warn(
        f"{path}: {sum(counts.values())} of {whole} references are left out ({', '.join(kinds)}), "
        f"as VizWiz's own evaluation does{gone}; `keep_rejected=True` keeps them",
        stacklevel=3,
    )


def _entries(path: AnyPath, value: Any, name: str, form: str) -> Iterator[tuple[str, ImageId, str]]:
    """Iterate over the place, image and caption of each entry."""
    if not isinstance(value, list):
        found = type(value).__name__
        raise ValueError(f"{path}: {name or 'it'} is a {found}, expected the form {form}")
    for i, entry in enumerate(value):
        where = f"{name}[{i}]" if name else f"entry {i}"
        if not isinstance(entry, dict):
            raise ValueError(f"{path}: {where} is {quote(entry)}, expected the form {form}")
        for field in ("image_id", "caption"):
            if field not in entry:
                raise ValueError(
                    f"{path}: {where} has no {field}, only {quote(sorted(entry))}; expected {form}"
                )
        image, caption = read_id(entry["image_id"], f"{path}: {where}"), entry["caption"]
        if not isinstance(caption, str):
            raise ValueError(f"{path}: {where} has caption {quote(caption)}, expected a string")
        if len(caption) > LONGEST_CAPTION:
            raise too_long(caption, f"{path}: {where}")
        yield where, image, caption


def _count(entries: Any) -> str:
    """Count entries and their images, for messages."""
    if not isinstance(entries, list):
        return f"a {type(entries).__name__}"
    images = {str(entry.get("image_id")) for entry in entries if isinstance(entry, dict)}
    return f"{len(entries):,} captions of {len(images):,} images"


def _check_ids(path: AnyPath, annotations: list[dict[str, Any]]) -> None:
    seen: dict[object, int] = {}
    for i, annotation in enumerate(annotations):
        number = annotation.get("id")
        if isinstance(number, int | str) and seen.setdefault(number, i) != i:
            raise ValueError(
                f"{path}: annotations[{i}] repeats the id {quote(number)} of "
                f"annotations[{seen[number]}]; was a part of the file appended twice?"
            )


def _listed(images: Any) -> Iterator[tuple[ImageId, dict[str, Any]]]:
    for image in images if isinstance(images, list) else []:
        if isinstance(image, dict):
            with suppress(ValueError):
                yield read_id(image.get("id"), ""), image


def _ids(images: Any) -> tuple[ImageId, ...]:
    return tuple(image["id"] for _, image in _listed(images))


def _texts(images: Any, fields: tuple[str, ...]) -> dict[ImageId, str]:
    """Find the first of some fields that each image has; images without any are left out."""
    found = {}
    for number, image in _listed(images):
        text = next((image[field] for field in fields if image.get(field)), None)
        if isinstance(text, str):
            found[number] = text
    return found
