"""METEOR and SPICE by the Java programs of the reference scorer.

Denkowski and Lavie (2014); Anderson, Fernando, Johnson and Gould (2016). The programs come with
`pycocoevalcap`, whose wrappers hang or break a pipe when Java dies. Here every failure is a
`LeftOut` with one sentence, and a silent program is killed after a timeout.
"""

import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from jaxcap.scoring.java_process import LeftOut, conversation, failure, free_memory, started

GIB = 1 << 30
# Heap sizes in the reference scorer; SPICE parses sentences.
METEOR_MEMORY, SPICE_MEMORY = 2 * GIB, 8 * GIB


def java_scores(
    candidates: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
    names: Sequence[str] = ("METEOR", "SPICE"),
) -> tuple[dict[str, float], list[str]]:
    """Compute METEOR and SPICE, or say why not.

    Args:
        candidates: N candidates, each a list of words.
        references: the references of each candidate, each a list of words.
        names: those of the two to compute.

    Returns:
        The scores by name, and a sentence for each score that is left out.
    """
    scores, notes = {}, []
    scorers = {"METEOR": meteor, "SPICE": spice}
    for name in names:
        try:
            scores[name] = scorers[name](candidates, references)
        except LeftOut as reason:
            notes.append(f"{name} is left out: {reason}")
    return scores, notes


def meteor(
    candidates: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
    *,
    patience: float = 120.0,
    memory: int = METEOR_MEMORY,
) -> float:
    """Compute METEOR 1.5 of a corpus.

    Args:
        candidates: N candidates, each a list of words.
        references: the references of each candidate.
        patience: seconds to wait for an answer before the program is killed.
        memory: bytes of Java's heap.

    Raises:
        LeftOut: there is no Java, no `pycocoevalcap` or too little memory, or the program failed.
    """
    java, folder = _find(memory, "meteor")
    # The default path of the paraphrases breaks if it has a space.
    options = "-jar meteor-1.5.jar - - -stdio -l en -norm -a data/paraphrase-en.gz"
    command = [*java, *options.split()]
    questions = [
        " ||| ".join(["SCORE", *map(_line, sentences), _line(candidate)])
        for candidate, sentences in zip(candidates, references, strict=True)
    ]
    with conversation(command, folder, patience) as ask:
        answers = ask(questions, len(questions))
        # The program answers with the score of each candidate, and then that of the corpus.
        scores = ask([" ||| ".join(["EVAL", *answers])], len(questions) + 1)
    with suppress(ValueError):
        if math.isfinite(score := float(scores[-1])):
            return score
    raise LeftOut(f"its answer was {scores[-1]!r}, expected a number")


def spice(
    candidates: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
    *,
    timeout: float = 3600.0,
    memory: int = SPICE_MEMORY,
) -> float:
    """Compute SPICE 1.0 of a corpus.

    Args:
        candidates: N candidates, each a list of words.
        references: the references of each candidate.
        timeout: seconds after which the program is killed.
        memory: bytes of Java's heap.

    Raises:
        LeftOut: there is no Java, no `pycocoevalcap`, no CoreNLP 3.6.0 in its folder or too little
            memory, or the program failed.
    """
    java, folder = _find(memory, "spice")
    if not (folder / "lib" / "stanford-corenlp-3.6.0-models.jar").exists():
        raise LeftOut(
            f"stanford-corenlp-3.6.0-models.jar is missing from {folder / 'lib'}; "
            "pycocoevalcap.spice.get_stanford_models fetches it"
        )
    questions = [
        {"image_id": i, "test": _line(candidate), "refs": list(map(_line, sentences))}
        for i, (candidate, sentences) in enumerate(zip(candidates, references, strict=True))
    ]
    with tempfile.TemporaryDirectory() as work:
        asked, answered = Path(work, "captions.json"), Path(work, "scores.json")
        asked.write_text(json.dumps(questions), encoding="utf-8")
        command = [*java, "-jar", "spice-1.0.jar", str(asked), "-out", str(answered)]
        with started([*command, "-subset", "-silent"], folder, subprocess.DEVNULL) as (
            process,
            errors,
        ):
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                raise LeftOut(f"it took more than {timeout:g} seconds and was killed") from None
            if code or not answered.exists():
                raise LeftOut(failure("", code, errors))
        return _mean_f(answered)


def _mean_f(path: Path) -> float:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        mean = math.fsum(float(entry["scores"]["All"]["f"]) for entry in found) / len(found)
        if math.isfinite(mean):
            return mean
    except (ValueError, KeyError, TypeError, ZeroDivisionError):
        pass
    raise LeftOut("its answer is not the JSON that SPICE 1.0 writes")


def _line(words: Sequence[str]) -> str:
    """Join words to a sentence without line ends and without the programs' separator."""
    return " ".join(" ".join(words).replace("|||", "").split())


def _find(memory: int, scorer: str) -> tuple[list[str], Path]:
    """Find the start of the command, and the folder of a scorer of `pycocoevalcap`."""
    java = shutil.which("java")
    if java is None:
        raise LeftOut("there is no java on the PATH; install Java")
    package = find_spec("pycocoevalcap")
    if package is None or not package.submodule_search_locations:
        raise LeftOut("pycocoevalcap is not installed; run pip install 'jaxcap[eval]'")
    free = free_memory()
    if free is not None and free < memory:
        raise LeftOut(
            f"it needs {memory / GIB:.1f} GiB of memory, but {free / GIB:.1f} GiB are free"
        )
    # A fixed language, so that numbers have the same format everywhere.
    options = [f"-Xmx{memory >> 20}m", "-Dfile.encoding=UTF-8", "-Duser.language=en"]
    return [java, *options], Path(list(package.submodule_search_locations)[0], scorer)
