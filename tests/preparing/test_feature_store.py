"""The store of features: what is done stays done, whatever moment the process died at."""

import json

import numpy as np
import pytest

from jaxcap.preparing.store import FeatureStore

IMAGES = [(f"{i}.jpg", 100 + i) for i in range(7)]


def open_store(folder, images=IMAGES, version=1):
    return FeatureStore(folder / "store", images, 3, 2, {"encoder": version})


def filled(folder, batches, **options):
    store = open_store(folder, **options)
    for batch in batches:
        rows = np.array(store.rows(batch), np.float32)
        store.write(batch, np.repeat(rows[:, None], 3, axis=1), {})
    return store


def test_a_store_goes_on_where_it_was(tmp_path):
    store = filled(tmp_path, [0, 3])
    assert [list(store.rows(batch)) for batch in range(4)] == [[0, 1], [2, 3], [4, 5], [6]]
    store.write(1, np.zeros((2, 3), np.float32), {3: "poupée.jpg: broken"})
    store.close()
    again = open_store(tmp_path)
    assert (again.num_done, again.begun_again, list(again.pending())) == (5, False, [2])
    assert again.unreadable == {3: "poupée.jpg: broken"}
    assert filled(tmp_path, [2]).features[:, 1].tolist() == [0, 1, 0, 0, 4, 5, 6]
    # An image that was replaced costs its batch, and so do features that changed on disk.
    mended = open_store(tmp_path, [*IMAGES[:2], ("2.jpg", 999), *IMAGES[3:]])
    assert list(mended.pending()) == [1] and mended.unreadable == {}
    mended.close()
    filled(tmp_path, [1]).close()
    path = tmp_path / "store" / "features.npy"
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    assert list(open_store(tmp_path).pending()) == [3]
    assert filled(tmp_path, [3]).features[:, 1].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert open_store(tmp_path).num_done == 7
    # Other images or another encoder begin again.
    for options in ({"version": 2}, {"version": 2, "images": IMAGES[:6]}):
        other = open_store(tmp_path, **options)
        assert (other.num_done, other.begun_again) == (0, True)
    assert not open_store(tmp_path, **options).begun_again


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_line_that_was_cut_is_no_line(tmp_path, cut):
    filled(tmp_path, [0, 1]).close()
    log = tmp_path / "store" / "done.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-cut])
    again = open_store(tmp_path)
    assert list(again.pending()) == [1, 2, 3]
    again.close()
    filled(tmp_path, [1]).close()
    assert list(open_store(tmp_path).pending()) == [2, 3]
    assert all(json.loads(line) for line in log.read_text().splitlines())
    log.write_bytes(whole[: cut // 5])
    assert open_store(tmp_path).num_done == 0
