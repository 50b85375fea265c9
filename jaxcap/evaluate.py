"""Score captions against references as COCO's evaluation does.

`python -m jaxcap.evaluate --results captions.json --references captions_val2014.json`
"""

from pathlib import Path

from absl import flags

from jaxcap import command
from jaxcap.data.json_files import write_json
from jaxcap.scoring.evaluation import Evaluation, evaluate_results
from jaxcap.scoring.sheet import make_sheet

RESULTS = flags.DEFINE_string(
    "results", None, 'Captions to score: [{"image_id": 1, "caption": "a cat"}].', required=True
)
REFERENCES = flags.DEFINE_string(
    "references",
    None,
    'References in COCO\'s form: {"annotations": [{"image_id": 1, "caption": "A cat."}]}.',
    required=True,
)
JAVA = flags.DEFINE_bool(
    "java", True, "Also compute METEOR and SPICE, where Java and pycocoevalcap are installed."
)
JSON = flags.DEFINE_string("json", None, "Write all scores, also of each image, to this file.")
SHEET = flags.DEFINE_string(
    "sheet", None, "Write an HTML page with the best and the worst captions to this file."
)
SHEET_NUM = flags.DEFINE_integer(
    "sheet_num", 20, "Captions in each list of the sheet.", lower_bound=1
)


def main() -> None:
    json, sheet = command.writable_path(JSON.value), command.writable_path(SHEET.value)
    evaluation = _evaluate()
    print(evaluation.table())
    if json:
        write_json(json, evaluation.as_json())
        print(f"wrote {json}")
    if sheet:
        page = make_sheet(evaluation, SHEET_NUM.value)
        sheet.write_text(page, encoding="utf-8", errors="replace")
        print(f"wrote {sheet}")


def _evaluate() -> Evaluation:
    return evaluate_results(Path(RESULTS.value), Path(REFERENCES.value), java=JAVA.value)


if __name__ == "__main__":
    command.run(main)
