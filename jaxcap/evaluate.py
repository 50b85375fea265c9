"""Score captions against references as COCO's evaluation does, and measure their diversity.

`python -m jaxcap.evaluate --checkpoint checkpoints/mine --split val --beam 3` captions a split with
a trained captioner. `python -m jaxcap.evaluate --results captions.json --references
captions_val2014.json` scores captions of any origin.
"""

from typing import Any

from absl import flags

from jaxcap.commands import checkpoint as checkpoint_flags
from jaxcap.commands import data as data_flags
from jaxcap.commands import decoding as decoding_flags
from jaxcap.commands import run as command
from jaxcap.commands.checkpoint import BEST
from jaxcap.commands.data import DATA_DIR, DATASET
from jaxcap.commands.decoding import Decoding, read_decoding
from jaxcap.commands.run import SEED
from jaxcap.data.dataset import SPLITS
from jaxcap.text.words import TOKENIZERS

RESULTS = flags.DEFINE_string(
    "results",
    None,
    'Captions to score: [{"image_id": 1, "caption": "a cat"}]. Image ids are integers or strings.',
)
CHECKPOINT = flags.DEFINE_list(
    "checkpoint",
    None,
    "Folder of the run of the captioner; several folders, separated by commas, are an ensemble.",
)
REFERENCES = flags.DEFINE_string(
    "references",
    None,
    "References: a text file of any caption format that jaxcap.prepare reads, such as COCO's. "
    "Without image ids in it, the names of the images are the ids. With --checkpoint, the ids are "
    "those of the caption file that was prepared, or rows of the split's features if the data set "
    "keeps no ids; the default is the file that jaxcap.prepare wrote for the split, or else the "
    "captions that training reads.",
)
KEEP_REJECTED = flags.DEFINE_bool(
    "keep_rejected",
    False,
    "Also score against the references that VizWiz marks as rejected or precanned.",
)
TOKENIZER = flags.DEFINE_enum(
    "tokenizer",
    None,
    list(TOKENIZERS),
    "How captions and references are split into words: ptb, as COCO's evaluation does; space, at "
    "spaces alone; or character, for languages written without spaces. The default is ptb with "
    "--results, and that of the data set with --checkpoint.",
)
SPLIT = flags.DEFINE_enum("split", "val", SPLITS, "Split to caption.")
NUM = flags.DEFINE_integer(
    "num", None, "Number of images, chosen at random with --seed; all by default.", lower_bound=1
)
OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "Write the captions to this file in COCO's results format, with the image ids of the caption "
    "file that was prepared.",
)

JAVA = flags.DEFINE_bool(
    "java", True, "Also compute METEOR and SPICE, if Java and pycocoevalcap are installed."
)
JSON = flags.DEFINE_string(
    "json", None, "Write all metrics, and the scores of each image, to this JSON file."
)
SHEET = flags.DEFINE_string(
    "sheet",
    None,
    "Write a page with the best and the worst captions and their pictures to this file: HTML, or "
    "an image if the name ends in .png.",
)
SHEET_NUM = flags.DEFINE_integer(
    "sheet_num", 20, "Captions in each list of the sheet.", lower_bound=1
)

flags.adopt_module_key_flags(command)
flags.adopt_module_key_flags(checkpoint_flags)
flags.adopt_module_key_flags(data_flags)
flags.adopt_module_key_flags(decoding_flags)
flags.mark_flags_as_mutual_exclusive(["checkpoint", "results"], required=True)

_OF_CHECKPOINTS = (
    *("best", "split", "num", "output", "dataset", "data_dir"),
    *(flag.name for flag in flags.FLAGS.get_key_flags_for_module(decoding_flags)),
)


def main() -> None:
    # Imported here to keep --help fast.
    from jaxcap.files.json import write_json
    from jaxcap.scoring.sheet import write_sheet

    json, sheet = command.writable_path(JSON.value), command.writable_path(SHEET.value)
    drawn = sheet is not None and sheet.suffix.lower() == ".png"
    if drawn:
        import jaxcap.plots  # noqa: F401  Fails early without Matplotlib.
    about, evaluation = _of_checkpoints() if CHECKPOINT.value is not None else _of_results()
    print(evaluation.table())
    if json:
        write_json(json, {**about, **evaluation.as_json()})
        print(f"wrote {json}")
    if sheet and drawn:
        from jaxcap.plots import save_figure, sheet_grid

        save_figure(sheet_grid(evaluation, SHEET_NUM.value), sheet)
    elif sheet:
        write_sheet(evaluation, sheet, SHEET_NUM.value)
    if sheet:
        print(f"wrote {sheet}")


def _of_results() -> tuple[dict[str, Any], Any]:
    from jaxcap.scoring.evaluation import evaluate_results

    for name in _OF_CHECKPOINTS:
        if flags.FLAGS[name].present:
            raise ValueError(f"--{name} needs --checkpoint, not --results")
    if not REFERENCES.value:
        raise ValueError("--results needs references to score against: give --references")
    return {}, evaluate_results(
        RESULTS.value or "",
        REFERENCES.value,
        java=JAVA.value,
        tokenizer=TOKENIZER.value or "ptb",
        keep_rejected=KEEP_REJECTED.value,
    )


def _of_checkpoints() -> tuple[dict[str, Any], Any]:
    """Caption and evaluate; returns a description of both for --json, and the evaluation."""
    from jaxcap.scoring.split_images import SplitImages
    from jaxcap.trained import load_captioner

    output = command.writable_path(OUTPUT.value)
    captioner = load_captioner(CHECKPOINT.value, best=BEST.value)
    decoding = read_decoding(captioner.vocabulary)
    data = captioner.load_data(SPLIT.value, DATA_DIR.value, DATASET.value)
    images = SplitImages.choose(data, SPLIT.value, NUM.value, decoding.key)
    references = images.references(REFERENCES.value, keep_rejected=KEEP_REJECTED.value)
    paths = [str(run.path) for run in captioner.runs]
    on = f"{len(images.rows):,} images of {SPLIT.value} of {data.name}"
    print(f"captioner: {', '.join(paths)}, on {on}")
    print(f"references: {references.source}", flush=True)

    captions = captioner.caption(images, **decoding._asdict())
    if output:
        images.write_results(output, captions)
        print(f"wrote {output}")
    training = captioner.seen(data)
    evaluation = images.evaluate(
        captions,
        references,
        training=training,
        java=JAVA.value,
        tokenizer=TOKENIZER.value,
    )
    return {
        "checkpoints": paths,
        "data": data.name,
        "split": SPLIT.value,
        "references": references.source,
        "decoding": _describe(decoding),
    }, evaluation


def _describe(decoding: Decoding) -> dict[str, Any]:
    strategy, rules, _ = decoding
    named = {"strategy": type(strategy).__name__, **vars(strategy), **vars(rules)}
    return {**named, "seed": SEED.value}


if __name__ == "__main__":
    command.run(main)
