"""The same seed gives the same result in fresh processes, whatever else differs between them."""

import json

import pytest
from command_calls import start
from photo_files import draw_all, write_karpathy
from tiny_runs import outcome

TRAINING = ["--num_epochs=6", "--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8"]
TRAINING += ["--dropout=0.2", "--order=buckets", "--max_train=36", "--val_images=5", "--seed=3"]
SAMPLING = ["--num=6", "--temperature=1.5", "--seed=5"]


def run(command, *flags, hash_seed):
    """Standard output of a fresh interpreter, which hashes by that seed."""
    with start(command, *flags, PYTHONHASHSEED=str(hash_seed)) as process:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


@pytest.mark.nightly
def test_train_and_sample_in_fresh_processes(tiny_dir, tmp_path):
    found = []
    for i in (1, 2):
        folder, captions = tmp_path / f"run{i}", tmp_path / f"captions{i}.json"
        where = [f"--checkpoint_dir={folder}", f"--data_dir={tiny_dir}"]
        run("train", *where, *TRAINING, hash_seed=i)
        where = [f"--checkpoint={folder}", f"--output={captions}"]
        out = run("sample", *where, *SAMPLING, hash_seed=i + 2)
        printed = [line for line in out.splitlines() if str(tmp_path) not in line]
        found.append((outcome(folder), printed, json.loads(captions.read_bytes())))
    assert found[0] == found[1]
    assert len(found[0][2]) == 6


@pytest.mark.nightly
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
