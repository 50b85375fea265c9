"""Every caption format, read from small files written here, and what is refused."""

import json

import pytest

from jaxcap.preparing.caption_files import read_caption_file

COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
    "annotations": [
        {"image_id": 9, "id": 1, "caption": "A dog."},
        {"image_id": 7, "id": 2, "caption": "A cat."},
        {"image_id": 9, "id": 3, "caption": " Two\ndogs. "},
    ],
}
KARPATHY = {
    "images": [
        {"filename": "a.jpg", "split": "train", "sentences": [{"raw": "A cat."}]},
        {
            "filename": "b.jpg",
            "filepath": "val2014",
            "split": "restval",
            "sentences": [{"raw": "A dog."}, {"raw": "Two dogs."}],
        },
        {"filename": "c.jpg", "split": "val", "sentences": []},
    ]
}


def read(tmp_path, content, name="captions"):
    path = tmp_path / name
    if isinstance(content, dict | list):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return read_caption_file(path)


def as_dict(found):
    return {image.name: (image.captions, image.split) for image in found.images}


def test_coco(tmp_path):
    found = read(tmp_path, COCO)
    assert found.format == "coco"
    assert as_dict(found) == {
        "a.jpg": (["A cat."], None),
        "b.jpg": (["A dog.", "Two dogs."], None),
    }


def test_karpathy_keeps_its_splits_and_folders(tmp_path):
    found = read(tmp_path, KARPATHY)
    assert found.format == "karpathy"
    assert as_dict(found) == {
        "a.jpg": (["A cat."], "train"),
        "val2014/b.jpg": (["A dog.", "Two dogs."], "train"),
        "c.jpg": ([], "val"),
    }


def test_flickr8k(tmp_path):
    found = read(tmp_path, "a.jpg#0\tA cat .\na.jpg#1\tA # cat .\r\n\nb.jpg#0\tA dog .\n")
    assert found.format == "flickr8k"
    assert as_dict(found) == {
        "a.jpg": (["A cat .", "A # cat ."], None),
        "b.jpg": (["A dog ."], None),
    }


def test_csv_with_quotes_and_with_commas_that_nobody_quoted(tmp_path):
    text = 'image,caption\na.jpg,"A cat, black, sits ."\nb.jpg,A dog , wet , runs .\n'
    found = read(tmp_path, text)
    assert found.format == "csv"
    assert as_dict(found) == {
        "a.jpg": (["A cat, black, sits ."], None),
        "b.jpg": (["A dog , wet , runs ."], None),
    }


def test_tsv_with_and_without_splits(tmp_path):
    found = read(tmp_path, "a.jpg\tA cat\nsub/b.jpg\tA dog\tval\nc.jpg\tA fish\tdev\n")
    assert found.format == "tsv"
    assert as_dict(found) == {
        "a.jpg": (["A cat"], None),
        "sub/b.jpg": (["A dog"], "val"),
        "c.jpg": (["A fish"], "val"),
    }


def test_unicode_marks_empty_and_repeated_captions_are_counted(tmp_path):
    text = (
        "a.jpg\tUne poupée 👧\u2028assise\na.jpg\t  \na.jpg\tUne poupée 👧 assise\nb.jpg\t一只猫\n"
    )
    found = read(tmp_path, b"\xef\xbb\xbf" + text.encode())
    assert as_dict(found) == {
        "a.jpg": (["Une poupée 👧 assise"], None),
        "b.jpg": (["一只猫"], None),
    }
    assert (found.empty, found.repeated) == (1, 1)
    assert found.images[0].raw == ["Une poupée 👧\u2028assise", "Une poupée 👧 assise"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty, expected captions"),
        ("just some words\n", "no known format: its first line is 'just some words'"),
        (b"a.jpg\tA caf\xe9\n", "line 1 is not UTF-8 .byte 0xe9."),
        ('{"images": [', "not JSON.*cut short"),
        ([1], "has no list 'images' .found list.; expected COCO's form .*annotations"),
        ({"photos": []}, r"has no list 'images' .found \['photos'\].*sentences"),
        ({**COCO, "images": [{"id": 7}]}, r"images\[0\] has no 'file_name'.*expected the form"),
        (
            {**COCO, "annotations": [{"image_id": 8, "caption": "x"}]},
            r"annotations\[0\] is of image_id 8, which is not in images",
        ),
        ({**COCO, "annotations": [{"image_id": 7, "caption": 3}]}, r"\[0\] has caption 3"),
        ({**COCO, "images": COCO["images"] * 2}, r"images\[2\] has the id 7 of a.jpg once more"),
        (
            {"images": [{"filename": "a.jpg", "split": "dev2", "sentences": []}]},
            "split 'dev2', expected one of train, restval, val",
        ),
        ("a.jpg\tx\ttrain\na.jpg\ty\tval\n", "a.jpg is in the splits train and val"),
        ("a.jpg\tx\nno tab here\n", "line 2 is 'no tab here', expected an image, a tab"),
        ("image,caption\na.jpg\n", "line 2 has no image or no caption"),
    ],
)
def test_faults_are_named(tmp_path, content, message):
    with pytest.raises(ValueError, match=f"captions: .*{message}"):
        read(tmp_path, content)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.json: no such file"):
        read_caption_file(tmp_path / "none.json")
