"""Fuzzes the readers of files, each in a process of its own (extra `fuzz`).

    python tests/fuzz/run.py --seconds 60

Inputs are led by coverage, from the reader's seeds and earlier finds. What breaks a reader is kept
in `tests/fuzz/corpus/READER`, and so is the smallest input for each outcome that no input there has
yet; `tests/fuzz/test_corpus.py` replays them. The exit code is 1 if a reader broke.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_LARGEST = 8192
"""Bytes of the largest input that is tried, and kept."""
_SLOW_SECONDS, _MOST_MEGABYTES = 20, 4096
_WATCHED = ["jaxcap", "PIL", "zipfile"]


def fuzz(name: str, seconds: int) -> bool:
    """Fuzz one reader for so long, and keep what is new; whether it held."""
    from readers import CORPUS, READERS

    with tempfile.TemporaryDirectory() as folder:
        work, broken, corpus = Path(folder, "work"), Path(folder, "broken"), CORPUS / name
        for path in (work, broken, corpus):
            path.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(READERS[name].seeds()):
            (work / f"seed{number}").write_bytes(seed)
        done = subprocess.run(
            [sys.executable, __file__, "--within", name, str(work), str(corpus)]
            + [f"-max_total_time={seconds}", f"-max_len={_LARGEST}", f"-timeout={_SLOW_SECONDS}"]
            + [f"-rss_limit_mb={_MOST_MEGABYTES}", f"-artifact_prefix={broken}/"],
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        finds = [shutil.copy(path, corpus) for path in broken.iterdir()]
        new = 0 if finds else _keep_outcomes(name, work)
    runs = [line for line in done.stderr.splitlines() if line.startswith("Done ")]
    print(f"{name}: {runs[-1] if runs else 'stopped'}; {new} outcomes new, broken by {finds}")
    held = done.returncode == 0 and not finds
    if not held:
        print(done.stderr[-4000:])
    return held


def _keep_outcomes(name: str, work: Path) -> int:
    """Keep the smallest input for each outcome that is new."""
    from readers import CORPUS, READERS, check

    new = 0
    with tempfile.TemporaryDirectory() as folder:
        kept = [path.read_bytes() for path in (CORPUS / name).iterdir()]
        known = {check(name, data, Path(folder)) for data in (*kept, *READERS[name].seeds())}
        for path in sorted(work.iterdir(), key=lambda path: path.stat().st_size):
            data = path.read_bytes()
            if (outcome := check(name, data, Path(folder))) not in known:
                known.add(outcome)
                new += 1
                digest = hashlib.sha256(data).hexdigest()[:12]
                (CORPUS / name / f"outcome-{digest}").write_bytes(data)
    return new


def within(name: str, arguments: list[str]) -> None:
    """Hand the reader to libFuzzer, which never returns."""
    import atheris

    with atheris.instrument_imports(include=_WATCHED):
        from readers import check

    folder = Path(tempfile.mkdtemp())

    def once(data: bytes) -> None:
        check(name, data, folder)

    atheris.Setup([sys.argv[0], *arguments], once)
    atheris.Fuzz()


def main() -> int:
    """Fuzz the readers named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="for each reader")
    parser.add_argument("--reader", action="append", help="one of them; all by default")
    given = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("fuzzing needs atheris: pip install -e '.[fuzz]'", file=sys.stderr)
        return 1
    from readers import READERS

    return 0 if all([fuzz(name, given.seconds) for name in given.reader or READERS]) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--within"]:
        within(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main())
