"""The store of features: what is done stays done, whatever moment the process died at."""

import json

import numpy as np
import pytest

from jaxcap.preparing.store import FeatureStore

IMAGES = [(f"{i}.jpg", 100 + i) for i in range(7)]


def open_store(folder, images=IMAGES, version=1):
    return FeatureStore(folder / "store", images, 3, 2, {"encoder": version})


def fill(store, batches):
    for batch in batches:
        rows = np.array(store.rows(batch), np.float32)
        store.write(batch, np.repeat(rows[:, None], 3, axis=1), {})


def test_a_store_goes_on_where_it_was(tmp_path):
    store = open_store(tmp_path)
    assert [list(store.rows(batch)) for batch in store.pending()] == [[0, 1], [2, 3], [4, 5], [6]]
    fill(store, [0, 3])
    store.write(1, np.zeros((2, 3), np.float32), {3: "poupée.jpg: broken"})
    store.close()
    again = open_store(tmp_path)
    assert (again.num_done, again.begun_again) == (5, False)
    assert list(again.pending()) == [2]
    assert again.unreadable == {3: "poupée.jpg: broken"}
    fill(again, [2])
    np.testing.assert_array_equal(again.features[:, 1], [0, 1, 0, 0, 4, 5, 6])


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_line_that_was_cut_is_no_line(tmp_path, cut):
    store = open_store(tmp_path)
    fill(store, [0, 1])
    store.close()
    log = tmp_path / "store" / "done.jsonl"
    log.write_bytes(log.read_bytes()[:-cut])
    again = open_store(tmp_path)
    assert list(again.pending()) == [1, 2, 3]
    fill(again, [1])
    again.close()
    assert list(open_store(tmp_path).pending()) == [2, 3]
    assert all(json.loads(line) for line in log.read_text().splitlines())


@pytest.mark.parametrize("kept", [0, 10])
def test_a_first_line_that_was_cut_begins_again(tmp_path, kept):
    store = open_store(tmp_path)
    fill(store, [0])
    store.close()
    log = tmp_path / "store" / "done.jsonl"
    log.write_bytes(log.read_bytes()[:kept])
    assert open_store(tmp_path).num_done == 0


def test_other_images_or_another_encoder_begin_again(tmp_path):
    fill(open_store(tmp_path), [0, 1])
    other = open_store(tmp_path, version=2)
    assert (other.num_done, other.begun_again) == (0, True)
    fill(other, [0])
    fewer = open_store(tmp_path, IMAGES[:6], version=2)
    assert (fewer.num_done, fewer.begun_again) == (0, True)
    assert not open_store(tmp_path, IMAGES[:6], version=2).begun_again


def test_an_image_that_was_replaced_costs_its_batch(tmp_path):
    store = open_store(tmp_path)
    fill(store, [0, 2, 3])
    store.write(1, np.zeros((2, 3), np.float32), {2: "broken"})
    mended = [*IMAGES[:2], ("2.jpg", 999), *IMAGES[3:]]
    again = open_store(tmp_path, mended)
    assert list(again.pending()) == [1]
    assert again.unreadable == {}


def test_features_that_changed_on_disk_cost_their_batch(tmp_path):
    store = open_store(tmp_path)
    fill(store, [0, 1, 2, 3])
    store.close()
    path = tmp_path / "store" / "features.npy"
    content = bytearray(path.read_bytes())
    # A bit of the last number, which is of the last batch.
    content[-2] ^= 1
    path.write_bytes(content)
    again = open_store(tmp_path)
    assert list(again.pending()) == [3]
    fill(again, [3])
    np.testing.assert_array_equal(again.features[:, 1], range(7))
    again.close()
    assert open_store(tmp_path).num_done == 7
