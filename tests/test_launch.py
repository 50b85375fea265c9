"""The recipes that start training on several hosts."""

import re
import shutil
import subprocess

import pytest
from command_calls import ROOT

from jaxcap.commands import scale as scale_flags

SLURM, KUBERNETES = ROOT / "launch" / "slurm.sh", ROOT / "launch" / "kubernetes.yaml"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("run", ["new", "old"])
def test_slurm_starts_and_resumes(tmp_path, run):
    """With commands in the place of SLURM's that print how they are called."""
    for name in ("srun", "scontrol"):
        command = tmp_path / name
        command.write_text(f'#!/bin/sh\necho {name} "$@"\nexit 143\n')
        command.chmod(0o755)
    folder = tmp_path / "run folder"
    folder.mkdir()
    if run == "old":
        (folder / "metrics.jsonl").touch()
    done = subprocess.run(
        ["bash", str(SLURM), str(folder), "--flagfile", "launch/coco.flags"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "7"},
        capture_output=True,
        text=True,
    )
    first, second = done.stdout.splitlines()
    assert f"jaxcap.train --flagfile launch/coco.flags --checkpoint_dir={folder}" in first
    assert first.endswith("--distributed --resume" if run == "old" else "--distributed")
    assert second == "scontrol requeue 7"
    assert done.returncode == 143


def test_kubernetes_counts_and_names_agree():
    yaml = pytest.importorskip("yaml")
    service, job = yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8"))
    pod = job["spec"]["template"]["spec"]
    (script,) = pod["containers"][0]["args"]
    flags = dict(re.findall(r"--(\w+)=(\S+)", script))
    assert service["spec"]["selector"]["job-name"] == job["metadata"]["name"]
    assert service["metadata"]["name"] == pod["subdomain"]
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == int(flags["num_processes"])
    host, port = flags["coordinator"].split(":")
    assert host == f"{job['metadata']['name']}-0.{pod['subdomain']}"
    assert pod["containers"][0]["ports"] == [{"containerPort": int(port)}]
    assert flags["process_id"] == "$JOB_COMPLETION_INDEX"
    known = {flag.name for flag in vars(scale_flags).values() if hasattr(flag, "name")}
    assert {"coordinator", "num_processes", "process_id"} <= known & set(flags)
