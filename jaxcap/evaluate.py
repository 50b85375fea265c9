"""Score captions against references as COCO's evaluation does, and say how varied they are.

`python -m jaxcap.evaluate --checkpoint checkpoints/mine --split val --beam 3` captions a split with
a trained captioner, and `python -m jaxcap.evaluate --results captions.json --references
captions_val2014.json` takes captions from anywhere.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
from absl import flags

from jaxcap.captioners import Captioners
from jaxcap.commands import data as data_flags
from jaxcap.commands import decoding as decoding_flags
from jaxcap.commands import run as command
from jaxcap.commands.data import DATA_DIR, DATASET
from jaxcap.commands.decoding import Decoding, read_decoding
from jaxcap.commands.run import SEED
from jaxcap.data.dataset import SPLITS, choose_images
from jaxcap.files.json import write_json
from jaxcap.files.whole import replacing
from jaxcap.scenes import open_picture
from jaxcap.scoring.evaluation import Evaluation, evaluate_results
from jaxcap.scoring.results import write_results
from jaxcap.scoring.sheet import best_and_worst, make_sheet
from jaxcap.scoring.split_evaluation import evaluate_split, split_references

RESULTS = flags.DEFINE_string(
    "results", None, 'Captions to score: [{"image_id": 1, "caption": "a cat"}].'
)
CHECKPOINT = flags.DEFINE_list(
    "checkpoint",
    None,
    "Folder of the run whose captioner to score; several, with commas between, are an ensemble.",
)
REFERENCES = flags.DEFINE_string(
    "references",
    None,
    'References in COCO\'s form: {"annotations": [{"image_id": 1, "caption": "A cat."}]}. With '
    "--checkpoint image ids are rows of the split's features, and the default is what "
    "jaxcap.prepare wrote of the split, or else the captions that training reads.",
)

BEST = flags.DEFINE_bool(
    "best", False, "Use the checkpoint that did best on validation, not the newest."
)
SPLIT = flags.DEFINE_enum("split", "val", SPLITS, "Images to caption.")
NUM = flags.DEFINE_integer(
    "num", None, "Number of images, drawn with --seed; all by default.", lower_bound=1
)
OUTPUT = flags.DEFINE_string(
    "output", None, "Write the captions to this file in COCO's results form."
)

JAVA = flags.DEFINE_bool(
    "java", True, "Also compute METEOR and SPICE, where Java and pycocoevalcap are installed."
)
JSON = flags.DEFINE_string("json", None, "Write all scores, also of each image, to this file.")
SHEET = flags.DEFINE_string(
    "sheet",
    None,
    "Show the best and the worst captions with their pictures on a page: HTML, or a picture where "
    "the file's name ends in .png.",
)
SHEET_NUM = flags.DEFINE_integer(
    "sheet_num", 20, "Captions in each list of the sheet.", lower_bound=1
)

flags.adopt_module_key_flags(command)
flags.adopt_module_key_flags(data_flags)
flags.adopt_module_key_flags(decoding_flags)
flags.mark_flags_as_mutual_exclusive(["checkpoint", "results"], required=True)

_OF_CHECKPOINTS = (
    *("best", "split", "num", "output", "dataset", "data_dir"),
    *(flag.name for flag in flags.FLAGS.get_key_flags_for_module(decoding_flags)),
)


def main() -> None:
    json, sheet = command.writable_path(JSON.value), command.writable_path(SHEET.value)
    drawn = sheet is not None and sheet.suffix.lower() == ".png"
    if drawn:
        import jaxcap.plots  # noqa: F401  Missing Matplotlib is told before the work.
    if CHECKPOINT.value is not None:
        about, evaluation = _of_checkpoints(CHECKPOINT.value)
    else:
        about, evaluation = {}, _of_results(RESULTS.value or "")
    print(evaluation.table())
    if json:
        write_json(json, {**about, **evaluation.as_json()})
        print(f"wrote {json}")
    if sheet:
        (_draw_sheet if drawn else _write_sheet)(evaluation, sheet)
        print(f"wrote {sheet}")


def _of_results(results: str) -> Evaluation:
    for name in _OF_CHECKPOINTS:
        if flags.FLAGS[name].present:
            raise ValueError(f"--{name} goes with --checkpoint, not with --results")
    if not REFERENCES.value:
        raise ValueError("--results needs --references, the file to score them against")
    files = Path(results).expanduser(), Path(REFERENCES.value).expanduser()
    return evaluate_results(*files, java=JAVA.value)


def _of_checkpoints(folders: list[str]) -> tuple[dict[str, Any], Evaluation]:
    """Caption and evaluate, with what is worth keeping of how that was done."""
    output = command.writable_path(OUTPUT.value)
    captioners = Captioners.load([Path(folder).expanduser() for folder in folders], best=BEST.value)
    decoding = read_decoding(captioners.vocabulary)
    data = captioners.load_data(SPLIT.value, DATASET.value, DATA_DIR.value)
    split = data.splits[SPLIT.value]
    num = NUM.value or len(split.features)
    images = choose_images(split, num, jax.random.key(SEED.value))
    file = Path(REFERENCES.value).expanduser() if REFERENCES.value else None
    references = split_references(data, SPLIT.value, images, file)
    paths = ", ".join(map(str, captioners.paths))
    print(f"captioner: {paths}, on {len(images):,} images of {SPLIT.value} of {data.name}")
    print(f"references: {references.source}", flush=True)

    sentences = captioners.caption(split, images, **decoding._asdict())
    captions = dict(zip(images.tolist(), sentences, strict=True))
    if output:
        write_results(output, captions)
        print(f"wrote {output}")
    evaluation = evaluate_split(
        data,
        SPLIT.value,
        captions,
        references,
        training=captioners.seen(data),
        java=JAVA.value,
    )
    return {
        "checkpoints": list(map(str, captioners.paths)),
        "data": data.name,
        "split": SPLIT.value,
        "references": references.source,
        "decoding": _describe(decoding),
    }, evaluation


def _describe(decoding: Decoding) -> dict[str, Any]:
    return {
        "strategy": type(decoding.strategy).__name__,
        **asdict(decoding.strategy),
        **asdict(decoding.constraints),
        "max_length": decoding.max_length,
        "seed": SEED.value,
    }


def _write_sheet(evaluation: Evaluation, path: Path) -> None:
    page = make_sheet(evaluation, SHEET_NUM.value)
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8", errors="replace")


def _draw_sheet(evaluation: Evaluation, path: Path) -> None:
    from jaxcap.plots import caption_grid, save_figure

    pictures, titles = [], []
    for name, places in best_and_worst(evaluation, SHEET_NUM.value)._asdict().items():
        for place in places:
            image = evaluation.images.image_ids[place]
            pictures.append(open_picture(evaluation.urls.get(image, "")))
            score = f"{name}, CIDEr {evaluation.images.cider[place]:.3f}"
            titles.append(f"{evaluation.captions[image] or '(empty)'}\n{score}")
    save_figure(caption_grid(pictures, titles), path)


if __name__ == "__main__":
    command.run(main)
