"""The best and the worst captions by CIDEr on one HTML page, with their pictures."""

import base64
from html import escape
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image

from jaxcap.files import AnyPath
from jaxcap.files.whole import replacing
from jaxcap.scenes import open_picture
from jaxcap.scoring.evaluation import Evaluation

_PIXELS = 320
_STYLE = (
    "body{font:15px sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "article{display:flex;gap:1em;margin:1em 0;border-top:1px solid #ccc;padding-top:1em}"
    "img,i{flex:none;width:14em;object-fit:contain}i{color:#888;overflow-wrap:anywhere}"
    "ul{color:#555;padding-left:1.2em}"
)


class BestAndWorst(NamedTuple):
    """Places of captions in an evaluation, the best and the worst first."""

    best: list[int]
    worst: list[int]


def best_and_worst(evaluation: Evaluation, num: int) -> BestAndWorst:
    """Find the `num` best and the `num` worst captions by CIDEr; no caption is in both lists."""
    order = np.argsort(evaluation.images.cider, kind="stable")[::-1].tolist()
    half = max(1, len(order) // 2)
    return BestAndWorst(order[: min(num, half)], order[::-1][: min(num, len(order) - half)])


def make_sheet(evaluation: Evaluation, num: int = 20) -> str:
    """Make an HTML page with the `num` best and worst captions and their references.

    Pictures on the network are linked. Pictures of scenes and files are embedded as thumbnails. If
    a picture cannot be opened, the page shows the reason.

    Args:
        evaluation: the captions and their scores; its `urls` locate the pictures.
        num: captions in each of the two lists.
    """
    best, worst = best_and_worst(evaluation, num)
    parts = [
        "<!DOCTYPE html><meta charset='utf-8'><title>Captions by CIDEr</title>",
        f"<style>{_STYLE}</style><h1>Captions by CIDEr</h1>",
        f"<pre>{escape(evaluation.table())}</pre>",
        f"<h2>The {len(best)} best</h2>",
        *(_article(evaluation, place) for place in best),
        f"<h2>The {len(worst)} worst</h2>",
        *(_article(evaluation, place) for place in worst),
    ]
    return "\n".join(parts) + "\n"


def write_sheet(evaluation: Evaluation, path: AnyPath, num: int = 20) -> None:
    """Write the page to a file atomically.

    Raises:
        OSError: the file cannot be written.
    """
    page = make_sheet(evaluation, num)
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8", errors="replace")


def _article(evaluation: Evaluation, place: int) -> str:
    image = evaluation.images.image_ids[place]
    name = escape(f"image {image}")
    picture = _picture(evaluation.urls.get(image, ""), name)
    references = "".join(f"<li>{escape(text)}</li>" for text in evaluation.references[image])
    return (
        f"<article>{picture}<div><b>{escape(evaluation.captions[image]) or '(empty)'}</b>"
        f"<br>{name}, CIDEr {evaluation.images.cider[place]:.3f}"
        f"<ul>{references}</ul></div></article>"
    )


def _picture(url: str, name: str) -> str:
    if url.startswith(("http://", "https://")):
        source = escape(url)
    else:
        found = open_picture(url)
        if not isinstance(found, Image.Image):
            return f"<i>{escape(found)}</i>" if found else ""
        source = _data_uri(found)
    return f"<img loading='lazy' alt='{name}' src='{source}'>"


def _data_uri(picture: Image.Image) -> str:
    small, file = picture.copy(), BytesIO()
    small.thumbnail((_PIXELS, _PIXELS))
    small.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
