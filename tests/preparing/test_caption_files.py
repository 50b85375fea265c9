"""Every caption format and every way to assign splits; `tests/files` has what is refused."""

import json

import pytest

from jaxcap.preparing.caption_files import CaptionedImage, read_caption_file
from jaxcap.preparing.splits import SplitChoice, assign_splits

COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
    "annotations": [
        {"image_id": 9, "id": 1, "caption": "A dog."},
        {"image_id": 7, "id": 2, "caption": "A cat."},
        {"image_id": 9, "id": 3, "caption": " Two\ndogs. "},
    ],
}
DOGS = {"filepath": "val2014", "sentences": [{"raw": "A dog."}, {"raw": "Two dogs."}]}
KARPATHY = {
    "images": [
        {"filename": "a.jpg", "split": "train", "sentences": [{"raw": "A cat."}]},
        {"filename": "b.jpg", "split": "restval", **DOGS},
        {"filename": "c.jpg", "split": "val", "sentences": []},
    ]
}
FLICKR8K = "a.jpg#0\tA cat .\na.jpg#1\tA # cat .\r\n\nb.jpg#0\tA dog .\n"
CSV = 'image,caption\na.jpg,"A cat, black, sits ."\nb.jpg,A dog , wet , runs .\n'
TSV = "a.jpg\tA cat\nsub/b.jpg\tA dog\tval\nc.jpg\tA fish\tdev\n"
DOLL = "Une poupée 👧"
UNICODE = f"\ufeffa.jpg\t{DOLL}\u2028assise\na.jpg\t  \na.jpg\t{DOLL} assise\nb.jpg\t一只猫\n"


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("coco", COCO, {"a.jpg": (["A cat."], None), "b.jpg": (["A dog.", "Two dogs."], None)}),
        (
            *("karpathy", KARPATHY),
            {
                "a.jpg": (["A cat."], "train"),
                "val2014/b.jpg": (["A dog.", "Two dogs."], "train"),
                "c.jpg": ([], "val"),
            },
        ),
        (
            *("flickr8k", FLICKR8K),
            {"a.jpg": (["A cat .", "A # cat ."], None), "b.jpg": (["A dog ."], None)},
        ),
        (
            *("csv", CSV),
            {"a.jpg": (["A cat, black, sits ."], None), "b.jpg": (["A dog , wet , runs ."], None)},
        ),
        (
            *("tsv", TSV),
            {
                "a.jpg": (["A cat"], None),
                "sub/b.jpg": (["A dog"], "val"),
                "c.jpg": (["A fish"], "val"),
            },
        ),
        ("tsv", UNICODE, {"a.jpg": ([f"{DOLL} assise"], None), "b.jpg": (["一只猫"], None)}),
    ],
)
def test_formats(tmp_path, kind, content, expected):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "captions").write_text(text, encoding="utf-8", newline="")
    found = read_caption_file(str(tmp_path / "captions"))
    assert found.format == kind
    assert {image.name: (image.captions, image.split) for image in found.images} == expected
    assert (found.empty, found.repeated) == ((1, 1) if content is UNICODE else (0, 0))
    if content is UNICODE:
        assert found.images[0].raw == [f"{DOLL}\u2028assise", f"{DOLL} assise"]


IMAGES = [CaptionedImage(f"{i}.jpg", ["a"], None) for i in range(20)]
KNOWN = ["val", "train", "test", "train", None, "test"]
WITH_SPLITS = [CaptionedImage(f"{i}.jpg", ["a"], split) for i, split in enumerate(KNOWN)]


def names(images, choice=None):
    found = assign_splits(images, choice or SplitChoice())
    return {split: [image.name for image in chosen] for split, chosen in found.images.items()}


def test_what_the_user_says_goes_before_the_files_splits(tmp_path):
    found = assign_splits(WITH_SPLITS, SplitChoice())
    assert names(WITH_SPLITS) == {"train": ["1.jpg", "3.jpg"], "val": ["0.jpg"]}
    assert found.source == "the caption file"
    assert found.left_out == {"of the split test": 2, "without a split": 1}
    (tmp_path / "train").write_text("\ufeff0.jpg\r\n2.jpg\r\n", encoding="utf-8")
    (tmp_path / "val").write_text("5.jpg\n\nunknown.jpg\n", encoding="utf-8")
    lists = SplitChoice(train_list=tmp_path / "train", val_list=str(tmp_path / "val"))
    found = assign_splits(WITH_SPLITS, lists)
    assert names(WITH_SPLITS, lists) == {"train": ["0.jpg", "2.jpg"], "val": ["5.jpg"]}
    assert (found.source, found.left_out) == ("split lists", {"in neither list": 3})
    assert names(WITH_SPLITS, SplitChoice(val_share=0.5))["val"] != ["0.jpg"]


def test_a_share_is_drawn_by_image_and_seed():
    choice = SplitChoice(val_share=0.25, seed=3)
    first = names(IMAGES, choice)
    assert first == names(IMAGES, choice) != names(IMAGES, SplitChoice(val_share=0.25, seed=4))
    assert len(first["val"]) == 5
    assert sorted(first["train"] + first["val"]) == sorted(image.name for image in IMAGES)
    by_default = assign_splits(IMAGES, SplitChoice())
    assert len(by_default.images["val"]) == 2
    assert by_default.source == "a share of 0.1 for val drawn with seed 0"
    for share in (0.001, 0.999):
        assert [*map(len, names(IMAGES[:2], SplitChoice(val_share=share)).values())] == [1, 1]


def test_contradictions_are_named(tmp_path):
    for name, text in (("a", "0.jpg\n1.jpg\n"), ("b", "1.jpg\n"), ("c", "99.jpg\n")):
        (tmp_path / name).write_text(text)
    a, b, c, none = (tmp_path / name for name in ("a", "b", "c", "none"))
    for images, choice, message in (
        (IMAGES, SplitChoice(a, b), "b: 1.jpg is in the other list too"),
        (IMAGES, SplitChoice(a, c), "no image is in the split val, by split lists: give `train_l"),
        (IMAGES, SplitChoice(a), "`train_list` and `val_list` go together"),
        (IMAGES, SplitChoice(none, b), "none: no such file, expected a list of images"),
        *(
            (IMAGES, SplitChoice(val_share=x), "`val_share` is .* between 0 and 1")
            for x in (0.0, 1.0)
        ),
        (IMAGES[:1], SplitChoice(), "split val, by a share"),
        (WITH_SPLITS[1:2], SplitChoice(), "split val, by the caption file"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            assign_splits(images, choice)
