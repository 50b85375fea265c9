"""A disk that is full or cannot be written: one clear error, and nothing is lost."""

import re

import pytest
from command_calls import assert_fails, call
from disks import full, read_only, small_disk
from photo_files import TinyEncoder, draw_all, write_karpathy
from tiny_runs import assert_all_load, opened, outcome, train, train_until

from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.preparing.plan import PreparationConfig, plan_preparation
from jaxcap.preparing.preparation import Preparation

NO_ROOM = r"\(?(No space left on device|File too large)"
DENIED = r"\(Permission denied\)"


@pytest.fixture
def whole(tiny, info, tmp_path):
    """How a run ends that was never disturbed, and a state like its own."""
    state = train(tmp_path / "whole", info, tiny)
    return outcome(tmp_path / "whole"), state


def assert_kept(folder, info, data, whole, before):
    """The checkpoints are all there, and resuming ends with the same bits."""
    expected, like = whole
    assert set(before) <= set(assert_all_load(folder, like))
    train(folder, info, data, resume=True)
    assert outcome(folder) == expected


@pytest.mark.parametrize("leave", [0, 24_000, 96_000])
def test_a_full_disk_keeps_the_checkpoints(tiny, info, whole, tmp_path, leave):
    with small_disk(tmp_path / "disk") as disk:
        folder = disk / "run"
        train_until(5, folder, info, tiny)
        before = assert_all_load(folder, whole[1])
        with full(disk, leave), pytest.raises(OSError, match=f"{folder}.* {NO_ROOM}") as caught:
            train(folder, info, tiny, resume=True)
        assert re.fullmatch(".*(make room|give another).*", str(caught.value))
        assert_kept(folder, info, tiny, whole, before)


def test_a_read_only_folder_keeps_the_checkpoints(tiny, info, whole, tmp_path):
    """Made so before a run is resumed, while it trains, and where a run is to be made."""
    folder, place = tmp_path / "run", tmp_path / "place"
    train_until(5, folder, info, tiny)
    before = assert_all_load(folder, whole[1])
    with read_only(folder):
        for start in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(OSError, match=rf"run: cannot be written {DENIED}: give another"):
                train(folder, info, tiny, **start)
        # Reading needs no more than that.
        assert assert_all_load(folder, whole[1]) == before
    with opened(folder, info, tiny, resume=True) as run:
        steps = run.steps(tensorboard=False)
        next(steps)
        message = rf"^.*run: could not write the checkpoint of iteration \d+ {DENIED}: [^\n]*$"
        with read_only(folder), pytest.raises(OSError, match=message):
            list(steps)
    place.mkdir()
    with read_only(place), pytest.raises(OSError, match="place/run: cannot be written"):
        train(place / "run", info, tiny)
    assert_kept(folder, info, tiny, whole, before)


def test_a_full_disk_is_one_sentence_of_the_command(tiny_dir, tmp_path):
    small = ["--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8", "--num_epochs=20"]
    small += ["--dropout=0.2", "--order=shuffle", "--log_every=2"]
    with small_disk(tmp_path / "disk") as disk:
        flags = [f"--checkpoint_dir={disk / 'run'}", f"--data_dir={tiny_dir}", *small]
        if not disk.is_mount():
            with full(disk, 0):
                return assert_fails(call("train", *flags), str(disk / "run"), "File too large")
        with full(disk, 1_300_000):
            assert_fails(call("train", *flags), str(disk / "run"), "No space left on device")
        saved = Checkpoints(disk / "run").steps
        assert len(saved) >= 2
        code, out, err = call("train", *flags, "--resume")
        assert code == 0, err
        assert f"at iteration {saved[-1]}\n" in out


@pytest.mark.parametrize("leave", [0, 12_288, 20_480, 32_768])
def test_a_full_disk_keeps_what_is_encoded(tmp_path, leave):
    captions = draw_all(tmp_path / "pictures", 20)
    source = write_karpathy(
        tmp_path / "captions.json", captions, lambda i: "train" if i % 4 else "val"
    )

    def prepare(output):
        config = PreparationConfig(tmp_path / "pictures", source, output, "tiny", min_count=1)
        with Preparation(plan_preparation(config), TinyEncoder()) as preparation:
            list(preparation.encode())
            preparation.finish()
        return {path.name: path.read_bytes() for path in output.iterdir()}

    expected = prepare(tmp_path / "whole")
    with small_disk(tmp_path / "disk") as disk:
        output = disk / "data"
        with full(disk, leave), pytest.raises(OSError, match=f"data.* {NO_ROOM}[^\n]*`output`"):
            prepare(output)
        assert not output.exists()
        assert prepare(output) == expected
        assert [path.name for path in disk.iterdir()] == ["data"]
