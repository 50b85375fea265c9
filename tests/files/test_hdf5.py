import h5py
import jax
import numpy as np
import pytest

from jaxcap.files import hdf5


@pytest.fixture
def dataset(tmp_path):
    features = np.random.default_rng(0).standard_normal((1000, 33), dtype=np.float32)
    with h5py.File(tmp_path / "features.h5", "w") as file:
        file["features"] = features
    with hdf5.open_hdf5(tmp_path / "features.h5") as file:
        yield hdf5.find_dataset(file, "features", ndim=2, kind="floats")


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other devices have their own memory")
def test_features_are_read_into_the_array_itself(dataset, monkeypatch):
    buffers = []
    aligned = hdf5._aligned
    monkeypatch.setattr(
        hdf5, "_aligned", lambda shape: buffers.append(aligned(shape)) or buffers[0]
    )
    features = hdf5.read_features(dataset)
    assert features.unsafe_buffer_pointer() == buffers[0].ctypes.data
    np.testing.assert_array_equal(features, dataset[...])


@pytest.mark.parametrize("rows", [1, 7, 999, 1000, 5000])
def test_features_are_the_same_for_every_chunk_size(dataset, monkeypatch, rows):
    monkeypatch.setattr(hdf5, "_CHUNK_BYTES", rows * 33 * 4)
    np.testing.assert_array_equal(hdf5.read_features(dataset), dataset[...])


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(ValueError, match="is not a file"), hdf5.open_hdf5(tmp_path):
        pass


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "none.h5"
    with pytest.raises(FileNotFoundError, match="none.h5"), hdf5.open_hdf5(path):
        pass


def test_any_flipped_byte_loads_or_is_one_clear_error(tmp_path):
    path = tmp_path / "flipped.h5"
    with h5py.File(path, "w") as file:
        file["captions"] = np.ones((3, 2), np.int32)
        file.create_dataset("features", data=np.ones((4, 2), np.float32), chunks=(2, 2))
    raw = path.read_bytes()
    for i in np.random.default_rng(0).integers(0, len(raw), 300).tolist():
        path.write_bytes(raw[:i] + bytes([raw[i] ^ 0xFF]) + raw[i + 1 :])
        try:
            with hdf5.open_hdf5(path) as file:
                hdf5.read_integers(hdf5.find_dataset(file, "captions", ndim=2, kind="integers"))
                hdf5.read_features(hdf5.find_dataset(file, "features", ndim=2, kind="floats"))
        except (OSError, ValueError) as error:
            assert str(error).startswith(str(path))


def test_names_of_other_datasets_are_shown_on_one_line(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["two\nlines"], file["poupée"], file[b"\xff"] = [1.0], [2.0], [3.0]
    with (
        hdf5.open_hdf5(tmp_path / "a.h5") as file,
        pytest.raises(
            ValueError, match=r"x is missing; the file holds b'\\xff', poupée, 'two\\nlines'$"
        ),
    ):
        hdf5.find_dataset(file, "x", ndim=1, kind="floats")
