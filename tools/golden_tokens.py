"""Fill in the words of `tests/golden/ptb_tokens.json` with the reference tokenizer.

    pip install pycocoevalcap        (and Java)
    python tools/golden_tokens.py    (all entries anew)
    python tools/golden_tokens.py "A caption" "Another"    (those are added first)

The file is a list of `{"caption": ..., "words": [...]}`. Each caption is run with a line behind it
that is not kept, since the reference looks past the end of a line.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "ptb_tokens.json"
JAR = "stanford-corenlp-3.4.1.jar"
# A line whose beginning changes no caption before it, and which ends what a caption leaves open.
NEUTRAL, NEUTRAL_WORDS = "x ' \"", "x ' ''"
# The evaluation's own list.
PUNCTUATION = ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-"]
PUNCTUATION += [".", "?", "!", ",", ":", "-", "--", "...", ";"]


def reference_words(captions: list[str]) -> list[list[str]]:
    """Tokenize captions with the Java program, as pycocoevalcap calls it."""
    package = find_spec("pycocoevalcap")
    if package is None:
        sys.exit("pycocoevalcap is not installed: pip install 'jaxcap[eval]'")
    if shutil.which("java") is None:
        sys.exit("Java is not on the PATH: install a JRE, such as default-jre-headless")
    (folder,) = package.submodule_search_locations or []
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.write("".join(caption.replace("\n", " ") + f"\n{NEUTRAL}\n" for caption in captions))
        file.flush()
        command = ["java", "-cp", str(Path(folder) / "tokenizer" / JAR)]
        command += ["edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
        run = subprocess.run([*command, file.name], capture_output=True)
    if run.returncode:
        sys.exit(f"the reference tokenizer failed: {run.stderr.decode(errors='replace')[-500:]}")
    lines = run.stdout.decode("utf-8").split("\n")[: 2 * len(captions)]
    if len(lines) != 2 * len(captions) or set(lines[1::2]) != {NEUTRAL_WORDS}:
        sys.exit("a caption holds an end of line that the reference takes for one")
    return [
        [word for word in line.rstrip().split(" ") if word and word not in PUNCTUATION]
        for line in lines[::2]
    ]


def main() -> None:
    captions = [entry["caption"] for entry in json.loads(GOLDEN.read_text(encoding="utf-8"))]
    captions = list(dict.fromkeys([*captions, *sys.argv[1:]]))
    entries = [
        {"caption": caption, "words": words}
        for caption, words in zip(captions, reference_words(captions), strict=True)
    ]
    text = ",\n".join(json.dumps(entry) for entry in entries)
    GOLDEN.write_text(f"[\n{text}\n]\n", encoding="utf-8")
    print(f"wrote {len(entries)} entries to {GOLDEN}")


if __name__ == "__main__":
    main()
