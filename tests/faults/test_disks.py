"""A disk that is full or cannot be written: one clear error, and nothing is lost."""

import jax
import pytest
from command_calls import assert_fails, call
from disks import full, read_only, small_disk
from photo_files import TinyEncoder, draw_all, write_karpathy
from runs import assert_all_load, assert_goes_on_to, start, train, train_until

from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.preparing.plan import PreparationConfig, plan_preparation
from jaxcap.preparing.preparation import Preparation

NO_ROOM = r"\(?(No space left on device|File too large)"
SMALL = ["--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8", "--num_epochs=40"]


@pytest.fixture(scope="module")
def whole(tiny, info, tmp_path_factory):
    """The folder of a run that was never disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with jax.numpy_dtype_promotion("standard"):
        train(start(folder, info), tiny, tensorboard=False)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("leave", [0, 24_000, 96_000])
def test_a_full_disk_keeps_the_checkpoints(tiny, info, whole, tmp_path, leave):
    with small_disk(tmp_path / "disk") as disk:
        run = start(disk / "run", info)
        like = run.state
        train_until(5, run, tiny)
        before = assert_all_load(run.folder, like)
        with (
            full(disk, leave),
            pytest.raises(OSError, match=f"{run.folder}.* {NO_ROOM}") as caught,
        ):
            train(start(run.folder, info, resume=True), tiny, tensorboard=False)
        assert "make room" in str(caught.value) or "give another" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert set(before) <= set(assert_all_load(run.folder, like))
        assert_goes_on_to(whole, run.folder, info, tiny)


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_of_the_command(tiny_dir, tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        flags = [f"--checkpoint_dir={disk / 'run'}", f"--data_dir={tiny_dir}", *SMALL]
        if disk.is_mount():
            with full(disk, 1_300_000):
                assert_fails(call("train", *flags), str(disk / "run"), "No space left on device")
            saved = Checkpoints(disk / "run").steps
            assert len(saved) >= 2
            code, out, err = call("train", *flags, "--resume")
            assert code == 0, err
            assert f"at iteration {saved[-1]}\n" in out
        else:
            with full(disk, 0):
                assert_fails(call("train", *flags), str(disk / "run"), "File too large")


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
        with full(disk, leave), pytest.raises(OSError, match=f"data.* {NO_ROOM}") as caught:
            prepare(output)
        assert "`output`" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not output.exists()
        assert prepare(output) == expected
        assert [path.name for path in disk.iterdir()] == ["data"]


@pytest.mark.slow
def test_a_folder_made_read_only_before_it_is_resumed(tiny, info, whole, tmp_path):
    folder = tmp_path / "run"
    run = start(folder, info)
    train_until(5, run, tiny)
    with read_only(folder):
        with pytest.raises(OSError, match=r"run: cannot be written \(Permission denied\): give"):
            start(folder, info, resume=True)
        with pytest.raises(OSError, match=r"run: cannot be written \(Permission denied\): give"):
            start(folder, info, overwrite=True)
        # Reading needs no more than that.
        assert assert_all_load(folder, run.state)[-1] >= 5
    assert_goes_on_to(whole, folder, info, tiny)


@pytest.mark.slow
def test_a_folder_made_read_only_while_training(tiny, info, whole, tmp_path):
    folder = tmp_path / "run"
    run = start(folder, info)
    like = run.state
    steps = run.train(tiny, tensorboard=False)
    while next(steps)[0].iteration < 5:
        pass
    before = assert_all_load(folder, like)
    with (
        read_only(folder),
        pytest.raises(OSError, match=r"run: could not write the checkpoint of iteration") as caught,
    ):
        list(steps)
    assert "\n" not in str(caught.value)
    assert "(Permission denied)" in str(caught.value)
    assert assert_all_load(folder, like) == before
    assert_goes_on_to(whole, folder, info, tiny)


def test_a_read_only_place_for_a_run_or_a_data_set(tiny, info, tmp_path):
    (tmp_path / "place").mkdir()
    with (
        read_only(tmp_path / "place"),
        pytest.raises(OSError, match="place/run: cannot be written"),
    ):
        start(tmp_path / "place" / "run", info)
