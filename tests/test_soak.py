"""Half an hour of training: memory and open files stay as they are, and nothing compiles again.

python -m pytest -n 0 -s -m nightly tests/test_soak.py --minutes 30
"""

import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from command_calls import ROOT, environment

EPOCH = "(Epoch "
WARM_UP = 0.2
"""The share of the time after the first epoch before memory is expected to stay as it is."""
GROWTH = 0.02
"""The share by which resident memory may rise from the first third after that to the last."""

# One heap, whose free top is given back: with one for each thread, what of them is kept free goes
# up and down by a fifth, which would hide a leak or look like one.
_ONE_HEAP = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536"}


def look_at(process):
    """Megabytes of resident memory, and open files."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(os.listdir(f"/proc/{process.pid}/fd"))


def compiled(lines):
    """The programs that were compiled, one entry for each time."""
    return re.findall(r"\bCompiling (\S+)", "".join(lines))


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_memory_files_and_programs_stay_as_they_are(tmp_path, request):
    seconds = 60 * request.config.getoption("--minutes")
    command = [sys.executable, "-u", "-m", "jaxcap.train", "--flagfile=launch/scenes.flags"]
    command += [f"--checkpoint_dir={tmp_path / 'run'}", "--num_epochs=1000000", "--verbosity=0"]
    env = {**environment(), **_ONE_HEAP, "JAX_LOG_COMPILES": "1"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    lines, looks, begin = [], [], None
    with subprocess.Popen(command, cwd=ROOT, env=env, **streams) as process:
        threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True).start()
        try:
            while begin is None or time.monotonic() - begin < seconds:
                assert process.poll() is None, "".join(lines[-30:])
                if begin is not None:
                    looks.append(look_at(process))
                elif any(line.startswith(EPOCH) for line in lines[:]):
                    begin = time.monotonic()
                time.sleep(2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=300) == 143, "".join(lines[-30:])
        finally:
            process.kill()

    epochs = [place for place, line in enumerate(lines) if line.startswith(EPOCH)]
    assert len(epochs) >= 3, "too few epochs: give more --minutes"
    first, later = compiled(lines[: epochs[0]]), compiled(lines[epochs[0] + 1 : epochs[-1]])
    assert first, "JAX says nothing of what it compiles"
    warm = looks[int(WARM_UP * len(looks)) :]
    third = len(warm) // 3
    # Medians, since a checkpoint that is being written has files open and takes memory.
    memory, files = (
        [statistics.median(part) for part in (values[:third], values[-third:])]
        for values in zip(*warm, strict=True)
    )
    growth = memory[1] / memory[0] - 1
    print(
        f"\n{seconds / 60:g} minutes, {len(epochs)} epochs; resident memory {memory[0]:.0f} MB and "
        f"{memory[1]:.0f} MB at the end ({growth:+.2%}); open files {files[0]:g} and {files[1]:g}; "
        f"{len(first)} programs compiled in the first epoch, {len(later)} later"
    )
    assert not later, f"compiled after the first epoch: {later}"
    assert growth <= GROWTH and files[1] <= files[0]
