"""Every caption format and every way to assign splits; `tests/files` has what is refused."""

import json

import pytest

from jaxcap.preparing.caption_files import CaptionedImage, read_caption_file
from jaxcap.preparing.splits import SplitChoice, assign_splits

COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
    "annotations": [
        {"image_id": image, "id": i, "caption": caption}
        for i, (image, caption) in enumerate([(9, "A dog."), (7, "A cat."), (9, " Two\ndogs. ")])
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
RAW = ["Une poupée 👧\u2028assise", "Une poupée 👧 assise"]
UNICODE = f"\ufeffa.jpg\t{RAW[0]}\na.jpg\t  \na.jpg\t{RAW[1]}\nb.jpg\t一只猫\n"


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("coco", COCO, "a.jpg None: A cat. | b.jpg None: A dog., Two dogs."),
        (
            *("karpathy", KARPATHY),
            "a.jpg train: A cat. | val2014/b.jpg train: A dog., Two dogs. | c.jpg val: ",
        ),
        ("flickr8k", FLICKR8K, "a.jpg None: A cat ., A # cat . | b.jpg None: A dog ."),
        ("csv", CSV, "a.jpg None: A cat, black, sits . | b.jpg None: A dog , wet , runs ."),
        ("tsv", TSV, "a.jpg None: A cat | sub/b.jpg val: A dog | c.jpg val: A fish"),
        ("tsv", UNICODE, f"a.jpg None: {RAW[1]} | b.jpg None: 一只猫"),
    ],
)
def test_formats(tmp_path, kind, content, expected):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "captions").write_text(text, encoding="utf-8", newline="")
    found = read_caption_file(str(tmp_path / "captions"))
    images = [f"{image.name} {image.split}: {', '.join(image.captions)}" for image in found.images]
    assert (found.format, " | ".join(images)) == (kind, expected)
    assert (found.empty, found.repeated) == ((1, 1) if content is UNICODE else (0, 0))
    assert found.images[0].raw == RAW or content is not UNICODE


IMAGES = [CaptionedImage(f"{i}.jpg", ["a"], None) for i in range(20)]
KNOWN = ["val", "train", "test", "train", None, "test"]
WITH_SPLITS = [CaptionedImage(f"{i}.jpg", ["a"], split) for i, split in enumerate(KNOWN)]


def names(images, choice):
    found = assign_splits(images, choice)
    return {split: [image.name for image in chosen] for split, chosen in found.images.items()}


def test_what_the_user_says_goes_before_the_files_splits(tmp_path):
    (tmp_path / "train").write_text("\ufeff0.jpg\r\n2.jpg\r\n", encoding="utf-8")
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
    a, b, c, none = (tmp_path / name for name in ("a", "b", "c", "none"))
    for images, choice, message in (
        (IMAGES, SplitChoice(a, b), "b: 1.jpg is in the other list too"),
        (IMAGES, SplitChoice(a, c), "no image is in the split val, by split lists; give `train_l"),
        (IMAGES, SplitChoice(a), "give `train_list` and `val_list` together"),
        (IMAGES, SplitChoice(none, b), "none: no such file, expected a list of images"),
        (IMAGES, SplitChoice(val_share=0.0), "`val_share` is 0, expected .* between 0 and 1"),
        (IMAGES, SplitChoice(val_share=1.0), "`val_share` is 1, expected .* between 0 and 1"),
        (IMAGES[:1], SplitChoice(), "split val, by a share"),
        (WITH_SPLITS[1:2], SplitChoice(), "split val, by the caption file"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            assign_splits(images, choice)
