"""Splits from the file, from lists, or drawn; what the user says goes first."""

import pytest

from jaxcap.preparing.caption_files import CaptionedImage
from jaxcap.preparing.splits import SplitChoice, assign_splits

IMAGES = [CaptionedImage(f"{i}.jpg", ["a"], None) for i in range(20)]
WITH_SPLITS = [
    CaptionedImage(f"{i}.jpg", ["a"], split)
    for i, split in enumerate(["val", "train", "test", "train", None, "test"])
]


def names(assignment):
    return {split: [image.name for image in images] for split, images in assignment.images.items()}


def test_the_files_own_splits():
    assignment = assign_splits(WITH_SPLITS, SplitChoice())
    assert names(assignment) == {"train": ["1.jpg", "3.jpg"], "val": ["0.jpg"]}
    assert assignment.source == "the caption file"
    assert assignment.left_out == {"of the split test": 2, "without a split": 1}


@pytest.fixture
def lists(tmp_path):
    def write(train, val):
        for split, text in (("train", train), ("val", val)):
            (tmp_path / split).write_text(text, encoding="utf-8")
        return SplitChoice(train_list=tmp_path / "train", val_list=tmp_path / "val")

    return write


def test_lists_go_before_the_files_splits(lists):
    choice = lists("\ufeff0.jpg\r\n2.jpg\r\n", "5.jpg\n\nunknown.jpg\n")
    assignment = assign_splits(WITH_SPLITS, choice)
    assert names(assignment) == {"train": ["0.jpg", "2.jpg"], "val": ["5.jpg"]}
    assert assignment.source == "split lists"
    assert assignment.left_out == {"in neither list": 3}


def test_a_share_is_drawn_by_image_and_seed():
    choice = SplitChoice(val_share=0.25, seed=3)
    first, again = (names(assign_splits(IMAGES, choice)) for _ in range(2))
    assert first == again
    assert len(first["val"]) == 5
    assert sorted(first["train"] + first["val"]) == sorted(image.name for image in IMAGES)
    other = names(assign_splits(IMAGES, SplitChoice(val_share=0.25, seed=4)))
    assert other != first
    by_default = assign_splits(IMAGES, SplitChoice())
    assert len(by_default.images["val"]) == 2
    assert by_default.source == "a share of 0.1 for val drawn with seed 0"
    assert names(assign_splits(WITH_SPLITS, SplitChoice(val_share=0.5)))["val"] != ["0.jpg"]


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_a_share_leaves_an_image_in_each_split(share):
    found = names(assign_splits(IMAGES[:2], SplitChoice(val_share=share)))
    assert (len(found["train"]), len(found["val"])) == (1, 1)


def test_faults(lists, tmp_path):
    with pytest.raises(ValueError, match="val: 1.jpg is in the other list too"):
        assign_splits(IMAGES, lists("0.jpg\n1.jpg\n", "1.jpg\n"))
    with pytest.raises(ValueError, match="no image is in the split val, by split lists"):
        assign_splits(IMAGES, lists("0.jpg\n", "99.jpg\n"))
    with pytest.raises(ValueError, match="--train_list and --val_list go together"):
        assign_splits(IMAGES, SplitChoice(train_list=tmp_path / "train"))
    with pytest.raises(FileNotFoundError, match="none: no such file"):
        assign_splits(IMAGES, SplitChoice(tmp_path / "none", tmp_path / "val"))
    (tmp_path / "val").write_bytes(b"caf\xe9.jpg")
    with pytest.raises(ValueError, match="val: byte 3 is not UTF-8"):
        assign_splits(IMAGES, SplitChoice(tmp_path / "train", tmp_path / "val"))
    for share in (0.0, 1.0, -0.5):
        with pytest.raises(ValueError, match="--val_share is .* between 0 and 1"):
            assign_splits(IMAGES, SplitChoice(val_share=share))
    with pytest.raises(ValueError, match="split val, by a share"):
        assign_splits(IMAGES[:1], SplitChoice())
    with pytest.raises(ValueError, match="split val, by the caption file"):
        assign_splits([CaptionedImage("a", ["a"], "train")], SplitChoice())
