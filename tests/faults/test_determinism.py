"""The same seed gives the same result in fresh processes, whatever else differs between them."""

import json

import numpy as np
import pytest
from command_calls import start
from photo_files import draw_all, write_karpathy

from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.learning.metrics import read_metrics

TRAINING = ["--num_epochs=6", "--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8"]
TRAINING += ["--dropout=0.2", "--order=buckets", "--max_train=36", "--val_images=5", "--seed=3"]
SAMPLING = ["--num=6", "--temperature=1.5", "--seed=5"]


def run(command, *flags, hash_seed):
    """Standard output of a fresh interpreter, which hashes by that seed."""
    with start(command, *flags, PYTHONHASHSEED=str(hash_seed)) as process:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def values(folder):
    """All that a run's last checkpoint holds and all that it measured, but for speeds."""
    checkpoints = Checkpoints(folder)
    step = checkpoints.steps[-1]
    params, _ = checkpoints.load_params(step)
    info = json.loads((checkpoints.path(step) / "info" / "metadata").read_text())
    rows = read_metrics(folder)
    for row in rows:
        del row["captions_per_second"]
    return {name: np.asarray(value).tobytes() for name, value in params.items()}, info, rows


@pytest.mark.slow
def test_train_and_sample_in_fresh_processes(tiny_dir, tmp_path):
    found = []
    for i in (1, 2):
        folder, captions = tmp_path / f"run{i}", tmp_path / f"captions{i}.json"
        where = [f"--checkpoint_dir={folder}", f"--data_dir={tiny_dir}"]
        run("train", *where, *TRAINING, hash_seed=i)
        out = run(
            "sample", f"--checkpoint={folder}", *SAMPLING, f"--output={captions}", hash_seed=i + 2
        )
        printed = [line for line in out.splitlines() if str(tmp_path) not in line]
        found.append((values(folder), printed, captions.read_bytes()))
    assert found[0] == found[1]
    assert len(json.loads(found[0][2])) == 6


@pytest.mark.slow
def test_prepare_in_fresh_processes(tmp_path):
    captions = draw_all(tmp_path / "pictures", 24, size=(240, 180))
    write_karpathy(tmp_path / "captions.json", captions, lambda i: "train")
    flags = [f"--images={tmp_path / 'pictures'}", f"--captions={tmp_path / 'captions.json'}"]
    flags += ["--name=tiny", "--val_share=0.25", "--seed=2", "--min_count=2", "--pca=4"]
    found = []
    for i in (1, 2):
        output = tmp_path / f"data{i}"
        run("prepare", *flags, f"--output={output}", hash_seed=i)
        found.append({path.name: path.read_bytes() for path in output.iterdir()})
    assert found[0] == found[1]
    assert len(found[0]) >= 8
