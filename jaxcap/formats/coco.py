"""COCO's form, which nocaps, VizWiz and STAIR share, and Karpathy's."""

from collections.abc import Iterator
from typing import Any

from jaxcap.files.text import plain, quote
from jaxcap.formats.entries import Entry, ImageId, Source

COCO_FORM = (
    '{"images": [{"id": 1, "file_name": "a.jpg"}], '
    '"annotations": [{"image_id": 1, "caption": "a cat"}]}'
)
KARPATHY_FORM = (
    '{"images": [{"filename": "a.jpg", "split": "train", "sentences": [{"raw": "a cat"}]}]}'
)
REJECTED = ("is_rejected", "is_precanned")
"""VizWiz's marks of captions that its own evaluation leaves out."""


def read_coco(source: Source, value: dict[str, Any]) -> Iterator[Entry]:
    """Read COCO's form; "annotations" may be missing, as in files of pictures to caption.

    Raises:
        ValueError: an entry is wrong; the message names it and shows the expected form.
    """
    names: dict[ImageId, str] = {}
    for i, image in enumerate(value["images"]):
        where = f"images[{i}]"
        number = _field(source, image, where, "id", (int, str), COCO_FORM)
        if number in names:
            raise ValueError(
                f"{source.path}: {where} repeats the id {quote(number)} of "
                f"{plain(names[number])}; give each image its own id"
            )
        names[number] = _field(source, image, where, "file_name", str, COCO_FORM)
        yield Entry(names[number], split=source.split(image.get("split"), where), id=number)
    # Some files write the same ids as integers here and as strings there.
    by_text = {str(number): number for number in names}
    annotations = value.get("annotations", [])
    if not isinstance(annotations, list):
        raise ValueError(f"{source.path}: annotations is not a list; expected the form {COCO_FORM}")
    for i, annotation in enumerate(annotations):
        where = f"annotations[{i}]"
        number = _field(source, annotation, where, "image_id", (int, str), COCO_FORM)
        if number not in names and str(number) in by_text:
            number = by_text[str(number)]
        if number not in names:
            raise ValueError(
                f"{source.path}: {where} has image_id {quote(number)}, which is not in images; "
                "add the image or remove the annotation"
            )
        caption = _field(source, annotation, where, "caption", str, COCO_FORM)
        marks = [mark for mark in REJECTED if annotation.get(mark)]
        if marks and not source.options.keep_rejected:
            source.tally.leave_out(f"captions marked {marks[0]}", where)
        else:
            yield Entry(names[number], caption)


def read_karpathy(source: Source, value: dict[str, Any]) -> Iterator[Entry]:
    """Read Karpathy's form; the id of an image is its `cocoid`, or else its `imgid`.

    Raises:
        ValueError: an entry is wrong; the message names it and shows the expected form.
    """
    key = "cocoid" if all("cocoid" in image for image in _dicts(value["images"])) else "imgid"
    for i, image in enumerate(value["images"]):
        where = f"images[{i}]"
        name = _field(source, image, where, "filename", str, KARPATHY_FORM)
        if image.get("filepath"):
            name = f"{_field(source, image, where, 'filepath', str, KARPATHY_FORM)}/{name}"
        split = source.split(image.get("split"), where)
        yield Entry(name, split=split, id=source.id(image.get(key)))
        for j, sentence in enumerate(
            _field(source, image, where, "sentences", list, KARPATHY_FORM)
        ):
            place = f"{where}.sentences[{j}]"
            yield Entry(name, _field(source, sentence, place, "raw", str, KARPATHY_FORM))


def _dicts(values: list[Any]) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)]


def _field(source: Source, entry: Any, where: str, name: str, kind: type | tuple, form: str) -> Any:
    """Return a field of an entry, checked."""
    if not isinstance(entry, dict) or name not in entry:
        fault = f"has no {name!r}: {quote(entry)}"
    elif not isinstance(entry[name], kind) or isinstance(entry[name], bool):
        fault = f"has {name} {quote(entry[name])}"
    elif kind is str and name != "caption" and name != "raw" and not entry[name].strip():
        fault = f"has an empty {name}"
    else:
        return entry[name]
    raise ValueError(f"{source.path}: {where} {fault}; expected the form {form}")
