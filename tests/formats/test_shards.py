"""Parquet and tar files, whose pictures are unpacked into the folder of images."""

import errno
import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from jaxcap.formats.entries import ReadOptions
from jaxcap.formats.read import read_caption_file


def picture(colour, kind="png"):
    file = io.BytesIO()
    Image.new("RGB", (4, 3), colour).save(file, kind)
    return file.getvalue()


def read(path, **options):
    return read_caption_file(path, ReadOptions(**options))


def shown(found):
    return [(image.name, image.split, image.captions) for image in found.images]


def write_tar(path, members):
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))


def test_parquet_with_pictures(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="needs pip install 'jaxcap[shards]'")
    from pyarrow import parquet

    folder = tmp_path / "data"
    folder.mkdir()
    for name, colours in (("train-00000-of-00001", ["red", "blue"]), ("validation-0", ["green"])):
        rows = [
            {
                "image": {"bytes": picture(colour, "jpeg"), "path": f"{colour}.jpg"},
                "caption": [f"all {colour}", f"a {colour} one"],
                "image_id": 2**62 + i,
            }
            for i, colour in enumerate(colours)
        ]
        parquet.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    assert len(read(folder).images) == 3  # Names alone, as of references.
    for _ in range(2):
        found = read(folder, unpack_to=tmp_path / "images")
        assert shown(found) == [
            ("train-00000-of-00001/000000.jpg", "train", ["all red", "a red one"]),
            ("train-00000-of-00001/000001.jpg", "train", ["all blue", "a blue one"]),
            ("validation-0/000000.jpg", "val", ["all green", "a green one"]),
        ]
        assert [image.id for image in found.images] == [None] * 3  # One id is of two images.
        with Image.open(tmp_path / "images/validation-0/000000.jpg") as unpacked:
            assert unpacked.size == (4, 3)
    assert found.format == "parquet"
    (one,) = sorted(folder.glob("validation*"))
    assert [image.id for image in read(one, unpack_to=tmp_path / "images").images] == [2**62]
    one.write_bytes(one.read_bytes()[:200])
    with pytest.raises(ValueError, match="validation-0.parquet: cannot be read as Parquet: "):
        read(one, unpack_to=tmp_path / "images")
    table = pa.Table.from_pylist([{"url": "http://a/1.jpg", "caption": "a cat"}])
    parquet.write_table(table, one)
    with pytest.raises(ValueError, match="holds the URLs of pictures and not their files"):
        read(one)
    parquet.write_table(pa.Table.from_pylist([{"words": "x"}]), one)
    with pytest.raises(ValueError, match="no column image or no column caption, only words"):
        read(one)


def test_tar_shards(tmp_path):
    pytest.importorskip("webdataset", reason="needs pip install 'jaxcap[shards]'")
    members = {
        "000000000.jpg": picture("red", "jpeg"),
        "000000000.txt": b"all red",
        "000000000.json": json.dumps({"caption": "from json", "status": "success"}).encode(),
        "a.b.png": picture("blue"),
        "a.b.json": json.dumps({"captions": ["all blue", "a blue one"]}).encode(),
        "../../out.png": picture("green"),
        "../../out.txt": b"all green",
        "../../out.PNG": picture("white"),
        "3.json": b'{"caption": "its picture failed", "status": "failed_to_download"}',
        "4.png": picture("white"),
    }
    write_tar(tmp_path / "00000.tar", members)
    found = read(tmp_path / "00000.tar", unpack_to=tmp_path / "images")
    assert (found.format, shown(found)) == (
        "tar",
        [
            ("00000/000000000.jpg", None, ["all red"]),
            ("00000/a.b.png", None, ["all blue", "a blue one"]),
            ("00000/out.png", None, ["all green"]),
            ("00000/4.png", None, []),
        ],
    )
    assert found.detail == "jpg beside json, txt"
    assert found.notes == (
        "left out: 1 members of a name that its sample has already (../../out.PNG)",
        "left out: 1 samples without a picture (00000.tar: 3)",
    )
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent for path in files} == {tmp_path, tmp_path / "images/00000"}
    cut = (tmp_path / "00000.tar").read_bytes()[:700]
    (tmp_path / "cut.tar").write_bytes(cut)
    with pytest.raises(
        ValueError, match="cut.tar: cannot be read as tar: unexpected end of data; copy it again$"
    ):
        read(tmp_path / "cut.tar", unpack_to=tmp_path / "images")
    (tmp_path / "packed.tar").write_bytes(b"\x1f\x8b" + cut)
    with pytest.raises(ValueError, match="packed.tar: is packed by gzip; unpack it with gunzip"):
        read(tmp_path / "packed.tar", unpack_to=tmp_path / "images")


def test_shards_and_pictures_of_the_same_name_are_kept_apart(tmp_path):
    pytest.importorskip("webdataset", reason="needs pip install 'jaxcap[shards]'")
    for folder, colour in (("train", "red"), ("val", "blue")):
        (tmp_path / "data" / folder).mkdir(parents=True)
        members = {"1.bmp": picture(colour, "bmp"), "1.txt": f"all {colour}".encode()}
        write_tar(tmp_path / "data" / folder / "0.tar", members)
    images = tmp_path / "images"
    found = read(tmp_path / "data", unpack_to=images)
    assert shown(found) == [
        ("train/0/1.bmp", "train", ["all red"]),
        ("val/0/1.bmp", "val", ["all blue"]),
    ]
    assert (images / "val/0/1.bmp").read_bytes() == picture("blue", "bmp")
    # Of the same size, as bitmaps are.
    (images / "val/0/1.bmp").write_bytes(picture("green", "bmp"))
    with pytest.raises(
        ValueError, match="1.bmp: is another picture than that of .*val/0.tar; give"
    ):
        read(tmp_path / "data", unpack_to=images)


def test_a_full_disk_is_not_a_broken_shard_and_leaves_no_half_picture(tmp_path, monkeypatch):
    pytest.importorskip("webdataset", reason="needs pip install 'jaxcap[shards]'")
    write_tar(tmp_path / "0.tar", {"1.png": picture("red"), "1.txt": b"all red"})

    def fail(path, content):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match=r"0/1.png: cannot be written \(No space .*: free some space"):
        read(tmp_path / "0.tar", unpack_to=tmp_path / "images")
    assert not [*(tmp_path / "images/0").iterdir()]


def test_the_column_with_pictures_wins_and_rows_with_one_picture_are_one_image(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="needs pip install 'jaxcap[shards]'")
    from pyarrow import parquet

    # As Hugging Face converts data sets: files of two splits have one name.
    for split, colours in (("train", ["red", "red", "blue"]), ("test", ["green"])):
        rows = [
            {"file_name": "elsewhere.jpg", "image": picture(colour), "caption": f"{colour} {i}"}
            for i, colour in enumerate(colours)
        ]
        (tmp_path / "data" / split).mkdir(parents=True)
        parquet.write_table(pa.Table.from_pylist(rows), tmp_path / f"data/{split}/0000.parquet")
        (tmp_path / f"data/{split}/._0000.parquet").write_bytes(b"macOS")
    found = read(tmp_path / "data", unpack_to=tmp_path / "images")
    assert shown(found) == [
        ("test/0000/000000.png", "test", ["green 0"]),
        ("train/0000/000000.png", "train", ["red 0", "red 1"]),
        ("train/0000/000002.png", "train", ["blue 2"]),
    ]
    told = "mended: 1 rows with the picture of an earlier row, joined to it (0000.parquet row 1)"
    assert found.notes == (told,)
    assert (tmp_path / "images/test/0000/000000.png").read_bytes() == picture("green")


def test_shards_of_one_name_and_samples_of_one_key_are_not_mixed(tmp_path):
    pytest.importorskip("webdataset", reason="needs pip install 'jaxcap[shards]'")
    for split, colour in (("train", "red"), ("val", "blue")):
        (tmp_path / "data" / split).mkdir(parents=True)
        members = {"._0.png": b"macOS", "0.png": picture(colour), "0.txt": colour.encode()}
        members |= {"0.caption": b"too", "1.png": picture("green"), "0.text": b"apart"}
        write_tar(tmp_path / f"data/{split}/0.tar", members)
    found = read(tmp_path / "data", unpack_to=tmp_path / "images")
    assert shown(found) == [
        ("train/0/0.png", "train", ["red", "too"]),
        ("train/0/1.png", "train", []),
        ("val/0/0.png", "val", ["blue", "too"]),
        ("val/0/1.png", "val", []),
    ]
    assert (tmp_path / "images/train/0/0.png").read_bytes() == picture("red")
    told = "samples with the key of an earlier one, or apart from its picture (0.tar: 0, 0.tar: 0)"
    assert found.notes == (f"left out: 2 {told}",)


@pytest.mark.parametrize(
    ("name", "package"), [("a.parquet", "pyarrow"), ("a.tar", "webdataset.tariterators")]
)
def test_a_missing_package_is_named(tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModuleNotFoundError, match=rf"{name}: .* pip install 'jaxcap\[shards\]'"):
        read(tmp_path / name)
