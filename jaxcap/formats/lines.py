"""Files without a header: a caption a line, after the name of its image or in a list's order."""

import re
from collections.abc import Iterator

from jaxcap.files.text import numbered_lines, quote, read_text
from jaxcap.formats.entries import Entry, Source
from jaxcap.formats.records import TO_DOWNLOAD
from jaxcap.formats.tables import check_first_cell, image_name, name_columns, split_row

# `a.jpg#0<TAB>caption`, and `a.jpg#zhb#0 caption` as in Flickr8k-CN.
TOKEN = re.compile(r"(?P<image>[^\t]+?)#(?:[A-Za-z]\w*#)?\d+(?:\t+| +|,)(?P<caption>.*)")
_LOOKED_AT = 20


def read_tokens(source: Source, text: str) -> Iterator[Entry]:
    """Read Flickr8k's form: an image, `#`, the caption's number, white space and the caption.

    Raises:
        ValueError: a line has another form; the message names it.
    """
    for number, line in numbered_lines(text):
        found = TOKEN.fullmatch(line)
        if not found:
            raise ValueError(
                f"{source.path}: line {number} is {quote(line)}, expected an image, #, a number, a "
                "tab and a caption"
            )
        caption = found["caption"]
        if line[found.start("caption") - 1] == ",":
            caption = ",".join(split_row(caption, ","))
        yield Entry(found["image"].strip(), caption)


def read_tabs(source: Source, text: str) -> Iterator[Entry]:
    """Read an image, a tab and a caption a line.

    More captions, a split and numbers, which are passed over, may stand between other tabs.

    Raises:
        ValueError: a line has another form, or the first is a header; the message names it.
    """
    lines = [*numbered_lines(text)]
    first = [line.partition("\t") for _, line in lines[:_LOOKED_AT]]
    if all(rest.strip().startswith(("http://", "https://")) for _, _, rest in first):
        raise ValueError(f"{source.path}: {TO_DOWNLOAD}")
    check_first_cell(source, first[0][0], [image for image, _, _ in first[1:]])
    names = name_columns([line for _, line in lines], "\t")
    captions = [place for place, name in enumerate(names) if name == "caption"]
    if len(names) > 2:
        source.detail = ", ".join(names)
    if not captions:
        raise ValueError(f"{source.path}: has only numbers after the names of images")
    for number, line in lines:
        cells = split_row(line, "\t")
        if len(cells) <= captions[0] or not cells[0].strip():
            raise ValueError(
                f"{source.path}: line {number} is {quote(line)}, expected an image, a tab and a "
                "caption"
            )
        if any(cell.strip() for cell in cells[len(names) :]):
            raise ValueError(
                f"{source.path}: line {number} has more tabs than the others: {quote(line)}; "
                "remove them, or name the columns in a header"
            )
        split = cells[len(names) - 1] if names[-1] == "split" and len(cells) >= len(names) else None
        yield Entry(image_name(cells[0]), None, source.split(split, f"line {number}"))
        for place in captions:
            if place < len(cells):
                yield Entry(image_name(cells[0]), cells[place])


def read_sentences(source: Source, text: str) -> Iterator[Entry]:
    """Read a caption a line, whose images `image_list` names line by line, as in Multi30k.

    Raises:
        ValueError: there is no list, or it has another number of lines.
    """
    path = source.options.image_list
    if path is None:
        raise ValueError(
            f"{source.path}: holds a caption a line without its image; give `image_list`, a file "
            "with the name of an image a line in the same order"
        )
    names = read_text(path, expected="a list of images").rstrip().split("\n")
    captions = text.removesuffix("\n").split("\n")
    # The last captions may be empty, but lines behind those of the list are none.
    while len(captions) > len(names) and not captions[-1].strip():
        captions.pop()
    if len(names) != len(captions):
        raise ValueError(
            f"{path}: has {len(names):,} lines and {source.path} {len(captions):,}, expected a "
            "name for each caption; give the list of the same split"
        )
    for number, (name, caption) in enumerate(zip(names, captions, strict=True), start=1):
        if not name.strip():
            source.tally.leave_out(f"captions whose image {path} does not name", f"line {number}")
            continue
        # Multi30k's older lists have `a.jpg#0`.
        yield Entry(re.sub(r"#\d+$", "", name.strip()), caption)
