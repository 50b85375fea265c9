"""Every way to assign images to splits, and both sides of a join by name told."""

import pytest

from jaxcap.formats.entries import CaptionedImage
from jaxcap.preparing.splits import SplitChoice, assign_splits

IMAGES = [CaptionedImage(f"{i}.jpg", ["a"], None) for i in range(20)]
KNOWN = ["val", "train", "test", "train", None, "test"]
WITH_SPLITS = [CaptionedImage(f"{i}.jpg", ["a"], split) for i, split in enumerate(KNOWN)]


def names(images, choice):
    found = assign_splits(images, choice)
    return {split: [image.name for image in chosen] for split, chosen in found.images.items()}


def test_what_the_user_says_goes_before_the_files_splits(tmp_path):
    (tmp_path / "train").write_text("\ufeff0.jpg\r\nimages/2.jpg\r\n", encoding="utf-8")
    (tmp_path / "val").write_text("5.jpg\n\nunknown.jpg\n", encoding="utf-8")
    lists = SplitChoice(train_list=tmp_path / "train", val_list=str(tmp_path / "val"))
    test, unsaid = {"of the split test": 2, "without a split": 1}, {"in neither list": 3}
    for choice, train, val, source, left_out in (
        (SplitChoice(), ["1.jpg", "3.jpg"], ["0.jpg"], "the caption file", test),
        (lists, ["0.jpg", "2.jpg"], ["5.jpg"], "split lists", unsaid),
    ):
        found = assign_splits(WITH_SPLITS, choice)
        assert names(WITH_SPLITS, choice) == {"train": train, "val": val}
        assert (found.source, found.left_out) == (source, left_out)
    assert assign_splits(WITH_SPLITS, lists).notes == (
        f"{tmp_path / 'val'}: 1 of 2 names are of no image with captions: unknown.jpg",
    )
    # A share is drawn by image and seed.
    share, other = SplitChoice(val_share=0.25, seed=3), SplitChoice(val_share=0.25, seed=4)
    first = names(IMAGES, share)
    assert first == names(IMAGES, share) != names(IMAGES, other) and len(first["val"]) == 5
    assert sorted(first["train"] + first["val"]) == sorted(image.name for image in IMAGES)
    found = assign_splits(IMAGES, SplitChoice())
    assert (
        found.source == "a share of 0.1 for val drawn with seed 0" and len(found.images["val"]) == 2
    )
    for few in (0.001, 0.999):
        assert [*map(len, names(IMAGES[:2], SplitChoice(val_share=few)).values())] == [1, 1]


def test_contradictions_are_named(tmp_path):
    for name, text in (("a", "0.jpg\n1.jpg\n"), ("b", "1.jpg\n"), ("c", "99.jpg\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "d").write_text("5.PNG\n")
    (tmp_path / "e").write_text("\n")
    a, b, c, d, e, none = (tmp_path / name for name in ("a", "b", "c", "d", "e", "none"))
    for images, choice, message in (
        (IMAGES, SplitChoice(a, b), "b: 1.jpg is in the other list too"),
        (IMAGES, SplitChoice(a, c), r"c: none of its 1 names is that of an image .* \(99.jpg\); "),
        (IMAGES, SplitChoice(a, d), r"d: none of .* \(5.PNG \(there is 5.jpg\)\); those .* 0.jpg"),
        (IMAGES, SplitChoice(a, e), "e: is empty, expected names of images"),
        (IMAGES, SplitChoice(a), "give `train_list` and `val_list` together"),
        (IMAGES, SplitChoice(none, b), "none: no such file, expected a list of images"),
        (IMAGES, SplitChoice(val_share=0.0), "`val_share` is 0, expected .* between 0 and 1"),
        (IMAGES, SplitChoice(val_share=1.0), "`val_share` is 1, expected .* between 0 and 1"),
        (IMAGES[:1], SplitChoice(), "split val, by a share"),
        (WITH_SPLITS[2:3], SplitChoice(), "split train, by the caption file"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            assign_splits(images, choice)


def test_a_list_names_an_image_by_its_last_part_its_stem_or_its_id(tmp_path):
    images = [CaptionedImage(f"a/{i}.jpg", ["x"], id=100 + i) for i in range(4)]
    images += [CaptionedImage("b/3.jpg", ["x"])]
    (tmp_path / "train").write_text("a\\0.jpg\n1\n102\n")
    (tmp_path / "val").write_text("b/3.jpg\n3\n")  # 3 could be either.
    found = assign_splits(images, SplitChoice(tmp_path / "train", tmp_path / "val"))
    assert {split: [image.name for image in chosen] for split, chosen in found.images.items()} == {
        "train": ["a/0.jpg", "a/1.jpg", "a/2.jpg"],
        "val": ["b/3.jpg"],
    }
    assert len(found.notes) == 1 and "1 of 2 names" in found.notes[0]


def test_validation_is_drawn_where_the_file_has_none():
    images = [CaptionedImage(f"{i}.jpg", ["a"], "test" if i < 5 else "train") for i in range(25)]
    found = assign_splits(images, SplitChoice())
    assert {split: len(chosen) for split, chosen in found.images.items()} == {"train": 18, "val": 2}
    assert (
        found.source == "the caption file, with a share of 0.1 of train for val drawn with seed 0"
    )
    assert found.left_out == {"of the split test": 5}
