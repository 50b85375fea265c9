"""The store of features: what is done stays done, whatever moment the process died at."""

import json

import numpy as np
import pytest

from jaxcap.preparing.store import FeatureStore

IMAGES = [(f"{i}.jpg", 100 + i) for i in range(7)]


def store_of(folder, batches=(), images=IMAGES, version=1, grid=None):
    """A store of batches of two, of which some are written, each row with its number."""
    store = FeatureStore(folder / "store", images, 3, 2, {"encoder": version}, grid)
    for batch in batches:
        rows = np.array(store.rows(batch), np.float32)
        grids = grid and np.broadcast_to(rows[:, None, None], (len(rows), *grid))
        store.write(batch, np.repeat(rows[:, None], 3, axis=1), {}, grids)
    return store


def test_a_store_goes_on_where_it_was(tmp_path):
    store = store_of(tmp_path, [0, 3])
    assert [list(store.rows(batch)) for batch in range(4)] == [[0, 1], [2, 3], [4, 5], [6]]
    store.write(1, np.zeros((2, 3), np.float32), {3: "poupée.jpg: broken"})
    again = store_of(tmp_path)
    assert (again.num_done, again.begun_again, list(again.pending())) == (5, False, [2])
    assert again.unreadable == {3: "poupée.jpg: broken"}
    assert store_of(tmp_path, [2]).features[:, 1].tolist() == [0, 1, 0, 0, 4, 5, 6]
    # An image that was replaced costs its batch, and so do features that changed on disk.
    mended = store_of(tmp_path, images=[*IMAGES[:2], ("2.jpg", 999), *IMAGES[3:]])
    assert (list(mended.pending()), mended.unreadable) == ([1], {})
    store_of(tmp_path, [1]).close()
    path = tmp_path / "store" / "features.npy"
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    assert list(store_of(tmp_path).pending()) == [3]
    assert store_of(tmp_path, [3]).features[:, 1].tolist() == [0, 1, 2, 3, 4, 5, 6]
    # Other images or another encoder begin again.
    for images in (IMAGES, IMAGES[:6]):
        other = store_of(tmp_path, images=images, version=2)
        assert (other.num_done, other.begun_again) == (0, True)
    assert not store_of(tmp_path, images=images, version=2).begun_again


def test_a_batch_is_done_only_with_its_grids(tmp_path):
    store_of(tmp_path, [0, 1]).close()
    store = store_of(tmp_path, [0, 3], grid=(2, 5))
    assert store.begun_again and (store.grids.shape, store.grids.dtype) == ((7, 2, 5), np.float16)
    store.close()
    path = tmp_path / "store" / "grids.npy"
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    assert list(store_of(tmp_path, grid=(2, 5)).pending()) == [1, 2, 3]
    assert store_of(tmp_path, [1, 3], grid=(2, 5)).grids[:, 1, 4].tolist() == [0, 1, 2, 3, 0, 0, 6]
    path.unlink()
    assert store_of(tmp_path, grid=(2, 5)).num_done == 0
    for other in ((2, 4), None):
        assert store_of(tmp_path, grid=other).begun_again


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_line_that_was_cut_is_no_line(tmp_path, cut):
    store_of(tmp_path, [0, 1]).close()
    log = tmp_path / "store" / "done.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-cut])
    assert list(store_of(tmp_path).pending()) == [1, 2, 3]
    store_of(tmp_path, [1]).close()
    assert list(store_of(tmp_path).pending()) == [2, 3]
    assert all(json.loads(line) for line in log.read_text().splitlines())
    log.write_bytes(whole[: cut // 5])
    assert store_of(tmp_path).num_done == 0
