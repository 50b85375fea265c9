"""Java programs run defensively: every failure is one sentence, and nothing hangs."""

import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_MOMENT = 5.0


class LeftOut(Exception):
    """A score cannot be computed; the message is a sentence that says why."""


def free_memory() -> int | None:
    """Read the bytes that a program can use without swapping; None if the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
        return int(found["MemAvailable"][0]) << 10
    except (OSError, KeyError, IndexError, ValueError):
        return None


@contextmanager
def started(
    command: list[str], folder: Path, pipes: int
) -> Iterator[tuple["subprocess.Popen[bytes]", IO[bytes]]]:
    """Start a program for a block, and kill it at the end if it still runs.

    Args:
        command: the program and its arguments.
        folder: working directory of the program.
        pipes: its stdin and stdout, `subprocess.PIPE` or `subprocess.DEVNULL`.

    Yields:
        The process, and the file of its stderr.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=pipes,
            stdout=pipes,
            stderr=errors,
            # A `java` that is a script may leave children, which are killed with its group.
            start_new_session=True,
        )
        try:
            yield process, errors
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    # After the wait the process id may be that of another program.
    if process.returncode is not None:
        return
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


@contextmanager
def conversation(
    command: list[str], folder: Path, patience: float
) -> Iterator[Callable[[list[str], int], list[str]]]:
    """Start a program that reads lines and answers by lines, for a block.

    Args:
        command: the program and its arguments.
        folder: working directory of the program.
        patience: seconds to wait for an answer.

    Yields:
        `ask(questions, expected)`, which writes lines and waits for the expected number of answers.
        It raises `LeftOut` if the program ends early or does not answer in time.
    """
    with started(command, folder, subprocess.PIPE) as (process, errors):
        heard: queue.Queue[str | None] = queue.Queue()
        threads = [threading.Thread(target=_listen, args=(process.stdout, heard), daemon=True)]
        threads[0].start()

        def ask(questions: list[str], expected: int) -> list[str]:
            # A thread writes, since otherwise both sides could wait for the other to read.
            speaker = threading.Thread(target=_speak, args=(process.stdin, questions), daemon=True)
            threads.append(speaker)
            speaker.start()
            answers: list[str] = []
            while len(answers) < expected:
                try:
                    answer = heard.get(timeout=patience)
                except queue.Empty:
                    raise LeftOut(
                        f"it gave no answer for {patience:g} seconds and was killed"
                    ) from None
                if answer is None:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_MOMENT)
                    done = f" after {len(answers)} of {expected} answers"
                    raise LeftOut(failure(done, process.returncode, errors))
                answers.append(answer)
            return answers

        try:
            yield ask
        finally:
            _end(process)
            for thread in threads:
                thread.join(_MOMENT)
            # Closing a pipe that a thread still uses would block.
            if not any(thread.is_alive() for thread in threads):
                for pipe in (process.stdin, process.stdout):
                    with suppress(OSError):
                        assert pipe is not None
                        pipe.close()


def _speak(stdin: IO[bytes], lines: list[str]) -> None:
    # The listener reports that the program has ended.
    with suppress(OSError, ValueError):
        stdin.write("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
        stdin.flush()


def _listen(stdout: IO[bytes], heard: "queue.Queue[str | None]") -> None:
    with suppress(OSError, ValueError):
        for line in stdout:
            heard.put(line.decode("utf-8", "replace").strip())
    heard.put(None)


def failure(when: str, code: int | None, errors: IO[bytes]) -> str:
    """Describe the failure of a program: its exit code, its error and the version of Java.

    Args:
        when: its progress, as text that starts with a space, or "".
        code: its exit code, None if it still runs.
        errors: file of its stderr.
    """
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").splitlines()
    # The first line of a Java error is the message; the others are its trace.
    said = next((line.strip() for line in lines if "rror" in line or "xception" in line), "")
    said = said or (lines[-1].strip() if lines else "nothing on stderr")
    ended = "closed its output" if code is None else f"ended with code {code}"
    return f"Java {ended}{when} and said: {said} ({_java_version()})"


def _java_version() -> str:
    try:
        run = subprocess.run(["java", "-version"], capture_output=True, timeout=30)
        return run.stderr.decode("utf-8", "replace").splitlines()[0].strip()
    except (OSError, subprocess.TimeoutExpired, IndexError):
        return "of unknown version"
