"""Flag files of random lines are read, or refused in one sentence."""

import subprocess
import sys
from pathlib import Path

from command_calls import ROOT, environment


def test_random_lines():
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("flag_files.py"))],
        cwd=ROOT,
        env={**environment(), "PYTHONPATH": f"{ROOT}:{environment().get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
