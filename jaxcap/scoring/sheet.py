"""The best and the worst captions by CIDEr on one HTML page."""

from html import escape

import numpy as np

from jaxcap.scoring.evaluation import Evaluation

_STYLE = (
    "body{font:15px sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "article{display:flex;gap:1em;margin:1em 0;border-top:1px solid #ccc;padding-top:1em}"
    "img{width:14em;object-fit:contain}ul{color:#555;padding-left:1.2em}"
)


def make_sheet(evaluation: Evaluation, num: int = 20) -> str:
    """An HTML page with the `num` best and worst captions over their references.

    Args:
        evaluation: the captions and their scores; pictures are shown by its `urls`.
        num: captions in each of the two lists.
    """
    order = np.argsort(evaluation.images.cider, kind="stable")[::-1].tolist()
    half = max(1, len(order) // 2)
    best, worst = order[: min(num, half)], order[::-1][: min(num, len(order) - half)]
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


def _article(evaluation: Evaluation, place: int) -> str:
    image = evaluation.images.image_ids[place]
    url = evaluation.urls.get(image, "")
    picture = ""
    if url.startswith(("http://", "https://")):
        picture = f"<img loading='lazy' alt='image {image}' src='{escape(url)}'>"
    references = "".join(f"<li>{escape(text)}</li>" for text in evaluation.references[image])
    return (
        f"<article>{picture}<div><b>{escape(evaluation.captions[image]) or '(empty)'}</b>"
        f"<br>image {image}, CIDEr {evaluation.images.cider[place]:.3f}"
        f"<ul>{references}</ul></div></article>"
    )
