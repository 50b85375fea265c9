"""Every caption format, from small files of layouts that people have; `tests/files` has faults."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from jaxcap.formats.entries import ReadOptions
from jaxcap.formats.read import FORMATS, read_caption_file

CAT, DOGS = "A cat.", ("A dog.", "Two dogs.")
COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
    "annotations": [
        {"image_id": image, "id": i, "caption": caption}
        for i, (image, caption) in enumerate([(9, "A dog."), (7, CAT), (9, " Two\ndogs. ")])
    ],
}
NOCAPS = {
    "images": [
        {"id": i, "open_images_id": name, "file_name": f"{name}.jpg", "domain": "in-domain"}
        for i, name in enumerate(("0013ea2087020901", "0013ea2087020902"))
    ]
}
STAIR = {
    "images": [{"id": 2**62, "file_name": "a.jpg", "flickr_url": "http://x/a.jpg"}],
    "annotations": [{"image_id": 2**62, "id": 1, "caption": "猫。", "tokenized_caption": "猫 。"}],
}
KARPATHY = {
    "images": [
        {
            **{"filename": "a.jpg", "split": "train", "imgid": 0, "cocoid": 391895},
            "sentences": [{"raw": CAT, "tokens": ["a", "cat"]}],
        },
        {
            **{"filename": "b.jpg", "split": "restval", "imgid": 1, "cocoid": 522418},
            **{"filepath": "val2014", "sentences": [{"raw": text} for text in DOGS]},
        },
        {"filename": "c.jpg", "split": "val", "imgid": 2, "cocoid": 1, "sentences": []},
    ]
}
TEXTCAPS = {
    "dataset_name": "textcaps",
    "data": [
        {
            **{"image_id": "0054c91397f2fe05", "image_path": "train/0054c91397f2fe05.jpg"},
            **{"caption_str": text, "reference_strs": [*DOGS], "set_name": "train"},
            **{"image_name": "0054c91397f2fe05", "caption_id": i},
        }
        for i, text in enumerate(DOGS)
    ],
}
AI_CHALLENGER = [{"url": "http://x/1", "image_id": "8f00.jpg", "caption": [CAT, *DOGS]}]
BLIP = [{"caption": text, "image": "b.jpg", "image_id": "coco_9"} for text in DOGS]
BLIP_VAL = [{"image": "val2014/b.jpg", "caption": [*DOGS]}]
MAPPING = {"a.jpg": CAT, "b.jpg": [*DOGS], "c.jpg": []}
METADATA = (
    '{"file_name": "a.png", "text": "A cat."}\r\n\n{"file_name": "b.png", "text": "A dog."}\n'
)
FLICKR8K = "a.jpg#0\tA cat .\na.jpg#1\tA # cat .\r\n\nb.jpg#0\tA dog .\n"
FLICKR8K_CN = "a.jpg#zhb#0 一只猫。\nb.jpg#zhb#0 狗\nb.jpg#zhb#1 两只狗\n"
KAGGLE = 'image,caption\na.jpg,"A cat, black, sits ."\nb.jpg,A dog , wet , runs .\n'
FLICKR30K = "image_name| comment_number| comment\na.jpg| 0| A cat .\nb.jpg| 4   A dog runs .\n"
MIRROR = 'raw,sentids,split,filename,img_id\n"[""A dog."", ""Two dogs.""]","[5, 6]",train,b.jpg,1\n'
PYTHON = "filename,captions\nb.jpg,\"['A dog.', 'Two dogs.']\"\n"
NUMBERED = "File Name;Split;caption_0;caption_1\nb.jpg;Validation;A dog.;Two dogs.\n"
IDS = "image,caption,image_id\nx1.jpg,a box, number 1,1\nx2.jpg,a ball,2\nx3.jpg,a cup,007\n"
TSV = "a.jpg\tA cat\nsub/b.jpg\tA dog\tval\nc.jpg\tA fish\tdev\n"
RAW = ["Une poupée 👧\u2028assise", "Une poupée 👧 assise"]
UNICODE = f"\ufeffa.jpg\t{RAW[0]}\na.jpg\t  \na.jpg\t{RAW[1]}\nb.jpg\t一只猫\n"
SPREADSHEET = "Filename,Description,,\r\na.jpg,A cat.,,\r\nb.jpg,,,\r\n,lost,,\r\n"
FLOATS = "5 a.jpg : A cat | 07 b.jpg : A dog"
TWO_SPLITS = "a.jpg train: A cat | b.jpg val: A, dog"
ONE_SPLIT = "a.jpg : A cat | b.jpg val: A dog"
BY_SPLIT = "val2014/b.jpg train: A dog., Two dogs. | 8f00.jpg val: A cat., A dog., Two dogs."
WITH_SPLIT = {
    "images": [{"id": 7, "file_name": "a.jpg", "split": "val"}],
    "annotations": [{"image_id": 7, "caption": CAT}],
}


def read(tmp_path, content, **options):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "captions").write_text(text, encoding="utf-8", newline="")
    return read_caption_file(str(tmp_path / "captions"), ReadOptions(**options))


def shown(found):
    return " | ".join(
        f"{image.id or ''} {image.name} {image.split or ''}: {', '.join(image.captions)}".strip()
        for image in found.images
    )


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("coco", COCO, "7 a.jpg : A cat. | 9 b.jpg : A dog., Two dogs."),
        (
            "coco",
            {"description": "by me", **COCO},
            "7 a.jpg : A cat. | 9 b.jpg : A dog., Two dogs.",
        ),
        ("coco", STAIR, f"{2**62} a.jpg : 猫。"),
        ("coco", NOCAPS, "0013ea2087020901.jpg : | 1 0013ea2087020902.jpg :"),
        (
            *("karpathy", KARPATHY),
            "391895 a.jpg train: A cat. | 522418 val2014/b.jpg train: A dog., Two dogs. | 1 c.jpg "
            "val:",
        ),
        (
            *("list", TEXTCAPS),
            "0054c91397f2fe05 train/0054c91397f2fe05.jpg train: A dog., Two dogs.",
        ),
        ("list", AI_CHALLENGER, "8f00.jpg : A cat., A dog., Two dogs."),
        ("list", BLIP, "coco_9 b.jpg : A dog., Two dogs."),
        ("list", BLIP_VAL, "val2014/b.jpg : A dog., Two dogs."),
        ("list", {"images": BLIP_VAL}, "val2014/b.jpg : A dog., Two dogs."),
        ("mapping", {"a.jpg": {"caption": CAT}}, "a.jpg : A cat."),
        ("mapping", MAPPING, "a.jpg : A cat. | b.jpg : A dog., Two dogs. | c.jpg :"),
        ("jsonl", METADATA, "a.png : A cat. | b.png : A dog."),
        ("flickr8k", FLICKR8K, "a.jpg : A cat ., A # cat . | b.jpg : A dog ."),
        ("flickr8k", "a.jpg#0,A cat, black\n", "a.jpg : A cat, black"),
        ("flickr8k", FLICKR8K_CN, "a.jpg : 一只猫。 | b.jpg : 狗, 两只狗"),
        ("table", KAGGLE, "a.jpg : A cat, black, sits . | b.jpg : A dog , wet , runs ."),
        ("table", FLICKR30K, "a.jpg : A cat . | b.jpg : A dog runs ."),
        ("table", MIRROR, "1 b.jpg train: A dog., Two dogs."),
        ("table", PYTHON, "b.jpg : A dog., Two dogs."),
        ("table", NUMBERED, "b.jpg val: A dog., Two dogs."),
        ("table", IDS, "1 x1.jpg : a box, number 1 | 2 x2.jpg : a ball | 007 x3.jpg : a cup"),
        ("table", "image_id\tcaptions\n" + TSV, "a.jpg : A cat | sub/b.jpg : A dog val |"),
        ("table", SPREADSHEET, "a.jpg : A cat. | b.jpg :"),
        (
            "table",
            "a b.jpg, A cat, wet.\nb.jpg, No.\n",
            "a b.jpg : A cat, wet. | b.jpg : No.",
        ),
        ("table", "a.jpg A cat.\nb.PNG A dog.\n", "a.jpg : A cat. | b.PNG : A dog."),
        ("table", "sep=;\r\nimage;caption\r\na.jpg;A cat\r\n", "a.jpg : A cat"),
        ("table", "image,caption\ra.jpg,A cat\rb.jpg,A dog\n", "a.jpg : A cat | b.jpg : A dog"),
        ("table", 'image,caption,x\na.jpg, "A cat, wet",1\n', "a.jpg : A cat, wet"),
        ("table", "image,caption,caption\na.jpg,A cat,Wet\n", "a.jpg : A cat, Wet"),
        ("table", "image,caption,caption.1\na.jpg,A cat,Wet\n", "a.jpg : A cat, Wet"),
        ("table", "image,caption\na.jpg#0,A cat\na.jpg#1,Wet\n", "a.jpg : A cat, Wet"),
        ("table", "image,caption,id\na.jpg,A cat,5.0\nb.jpg,A dog,07\n", FLOATS),
        ("table", '"a.jpg","A cat"\n"b.jpg","A dog"\n', "a.jpg : A cat | b.jpg : A dog"),
        ("table", "a.jpg| 0| A cat\nb.jpg| 1| A dog\n", "a.jpg : A cat | b.jpg : A dog"),
        (
            "table",
            "a.jpg,A cat,train\nb.jpg,A, dog,val\n",
            "a.jpg train: A cat | b.jpg val: A, dog",
        ),
        ("table", "a.jpg,A cat\nb.jpg,A bus, train\n", "a.jpg : A cat | b.jpg : A bus, train"),
        ("table", "image,caption,split\na.jpg,A cat,nan\nb.jpg,A dog,Val2014\n", ONE_SPLIT),
        ("tsv", 'a.jpg\t"A ""cat"""\nb.jpg\t"A" dog\n', 'a.jpg : A "cat" | b.jpg : "A" dog'),
        ("tsv", "a.jpg\tA cat\tWet\tdev\n", "a.jpg val: A cat, Wet"),
        ("tsv", "a.jpg\t0\tA cat\na.jpg\t1\tWet\n", "a.jpg : A cat, Wet"),
        ("tsv", "7\t40\t20\tA cat\t猫\n8\t1\t2\tA dog\t犬\n", "7 : A cat, 猫 | 8 : A dog, 犬"),
        ("table", "image,caption\na.jpg,\"['A cat'\n 'Wet']\"\n", "a.jpg : A cat, Wet"),
        ("table", 'image,caption\na.jpg,"A \\"wet\\" cat, 1"\n', 'a.jpg : A "wet" cat, 1'),
        ("table", "\ufeff\ufeffFile Name,Image Caption\na.jpg,A cat\n", "a.jpg : A cat"),
        ("table", "filepath\ttitle\na.jpg\tA cat\n", "a.jpg : A cat"),
        ("flickr8k", 'a.jpg#0,"A cat, wet"\n', "a.jpg : A cat, wet"),
        ("columns", {"image": ["a.jpg", "b.jpg"], "text": [CAT, None]}, "a.jpg : A cat. | b.jpg :"),
        ("columns", {"image": {"0": "a.jpg"}, "text": {"0": CAT}}, "a.jpg : A cat."),
        ("list", {"train": BLIP_VAL, "val": AI_CHALLENGER}, BY_SPLIT),
        ("list", [{"image_id": 8, "caption": [CAT, None]}], "8 8 : A cat."),
        ("mapping", {"a.jpg": {"caption": CAT, "split": "val"}}, "a.jpg val: A cat."),
        ("coco", WITH_SPLIT, "7 a.jpg val: A cat."),
        ("tsv", TSV, "a.jpg : A cat | sub/b.jpg val: A dog | c.jpg val: A fish"),
        ("tsv", UNICODE, f"a.jpg : {RAW[1]} | b.jpg : 一只猫"),
    ],
)
def test_formats(tmp_path, kind, content, expected):
    found = read(tmp_path, content)
    assert found.format == kind
    assert shown(found).startswith(expected.removesuffix("|").strip())
    assert (found.empty, found.repeated) == (
        (1, 1) if content is UNICODE else (content is SPREADSHEET, 0)
    )
    assert found.images[0].raw == RAW or content is not UNICODE
    assert shown(read(tmp_path, content, format=kind)) == shown(found)


def test_what_is_recognised_mended_or_left_out_is_told_with_its_line(tmp_path):
    found = read(tmp_path, FLICKR30K)
    assert found.detail == "image from image_name, captions from comment, between '|'"
    assert found.notes == (
        "mended: 1 rows without a delimiter after the caption's number (line 3)",
    )
    assert read(tmp_path, SPREADSHEET).notes == ("left out: 1 rows without an image (line 4)",)
    found = read(tmp_path, "a.jpg#0\t[/EN#28/people A man] in [/EN#1/clothing a hat] .\n")
    assert found.images[0].captions == ["A man in a hat ."]
    assert found.notes == (
        "mended: 1 captions with the marks of Flickr30k Entities, removed (a.jpg)",
    )
    assert read(tmp_path, "image,n,caption\na.jpg,1\nb.jpg,2,x\n").notes == (
        "left out: 1 rows without a caption (line 2)",
    )


ROWS = [
    "c0.jpg,A red box .",
    "c1.jpg,A ball, green and round .",
    'c2.jpg,"Stop" says a sign',
    'c3.jpg,"Hello, reads the paper',
    'c3.jpg,"A quoted, ""whole"" one"',
    'c4.jpg,A 12" ball on the "old" floor',
    'c5.jpg,"two',
    'lines"',
    "c6.jpg,the end",
]


@pytest.mark.parametrize("last", ["", 'c7.jpg,see the 12"', 'c7.jpg,"'])
def test_a_quotation_mark_without_its_partner_swallows_nothing(tmp_path, last):
    found = read(tmp_path, "\n".join(["image,caption", *ROWS, last]) + "\n")
    captions = {image.name: image.captions for image in found.images}
    assert {name: captions[name] for name in list(captions)[:7]} == {
        "c0.jpg": ["A red box ."],
        "c1.jpg": ["A ball, green and round ."],
        "c2.jpg": ['"Stop" says a sign'],
        "c3.jpg": ['"Hello, reads the paper', 'A quoted, "whole" one'],
        "c4.jpg": ['A 12" ball on the "old" floor'],
        "c5.jpg": ["two lines"],
        "c6.jpg": ["the end"],
    }
    assert len(captions) == (8 if last else 7)
    assert found.notes[0].startswith("mended: ") and "(line 4, line 5" in found.notes[0]


def test_an_open_quotation_mark_swallows_no_rows_of_names_without_an_ending(tmp_path):
    for names in ("1 2 3", "x1 x2 x3"):
        rows = zip(names.split(), ['"A cat', "A dog", 'Two dogs"'], strict=True)
        found = read(tmp_path, "image,caption\n" + "".join(f"{a},{b}\n" for a, b in rows))
        assert [image.captions for image in found.images] == [['"A cat'], ["A dog"], ['Two dogs"']]
        (note,) = found.notes
        assert "1 lines with a quotation mark without its partner, read as they stand" in note


def test_an_open_quotation_mark_costs_no_more_the_more_rows_follow(tmp_path, monkeypatch):
    parsed, reader = [], csv.reader

    def counting(lines, *args, **options):
        parsed.append(len(lines))
        return reader(lines, *args, **options)

    monkeypatch.setattr(csv, "reader", counting)
    costs = []
    for rows in (300, 600):
        text = 'image,caption\n0,"a cat\n' + "".join(f"{i},a {i}\n" for i in range(1, rows))
        parsed.clear()
        assert len(read(tmp_path, text).images) == rows
        costs.append(sum(parsed))
    assert costs[1] < 2.2 * costs[0]


def test_missing_values_are_no_captions_names_or_splits(tmp_path):
    rows = "a.jpg,nan\na.jpg,A cat\nnan,lost\nb.jpg,NULL\n"
    found = read(tmp_path, "image,caption\n" + rows)
    assert shown(found) == "a.jpg : A cat | b.jpg :"
    assert found.notes == (
        "left out: 1 captions that are nan, as for a missing value (line 2)",
        "left out: 1 rows without an image (line 4)",
        "left out: 1 captions that are NULL, as for a missing value (line 5)",
    )


def test_lists_that_are_no_splits_and_tabs_too_many_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"several lists with captions \(new, old\) that are no"):
        read(tmp_path, {"old": BLIP_VAL, "new": BLIP_VAL})
    with pytest.raises(ValueError, match="line 2 has more tabs than the others: 'b.jpg"):
        read(tmp_path, "a.jpg\tA cat\nb.jpg\tA\tdog\nc.jpg\tA cow\n")
    with pytest.raises(ValueError, match="captions: has only numbers after the names of images"):
        read(tmp_path, "a.jpg\t5\t6\t7\nb.jpg\t7\t8\t9\n")
    with pytest.raises(ValueError, match="columns differ in length; write it again"):
        read(tmp_path, {"image": ["a.jpg"], "caption": []})


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_what_csv_writes_is_read_back(tmp_path, delimiter):
    captions = ['a "b"', "c,d;e", "f\tg|h", "i\nj, k", "\"'"]
    rows = [(f"{i}.jpg", text) for i, text in enumerate(captions)]
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows([("name", "text"), *rows])
    found = read(tmp_path, file.getvalue())
    assert [(image.name, *image.raw) for image in found.images] == rows and not found.notes


def test_rejected_captions_are_left_out_and_counted_unless_kept(tmp_path):
    marks = [{}, {"is_rejected": True}, {"is_precanned": True, "is_rejected": False}]
    content = {
        "images": [{"id": 0, "file_name": "a.jpg", "text_detected": False}],
        "annotations": [
            {"image_id": 0, "id": i, "caption": f"c{i}", **found} for i, found in enumerate(marks)
        ],
    }
    found = read(tmp_path, content)
    assert found.images[0].captions == ["c0"]
    assert found.notes == (
        "left out: 1 captions marked is_rejected (annotations[1])",
        "left out: 1 captions marked is_precanned (annotations[2])",
    )
    assert read(tmp_path, content, keep_rejected=True).images[0].captions == ["c0", "c1", "c2"]


def test_ids_that_do_not_tell_images_apart_are_not_used(tmp_path):
    rows = [{"image": "a.jpg", "caption": f"c{i}", "id": i} for i in range(3)]
    found = read(tmp_path, rows)
    told = "left out: 1 ids, which do not tell images apart, as a.jpg has 0 and 2 (a.jpg)"
    assert ([image.id for image in found.images], found.notes) == ([None], (told,))
    text = "image,caption,id\na.jpg,A cat,0\nb.jpg,A dog,{}\nc.jpg,A cow,{}\n"
    found = read(tmp_path, text.format("", "nan"))
    assert [image.id for image in found.images] == [0, None, None]
    told = "mended: 2 images without an id, which are known by their names (b.jpg, c.jpg)"
    assert found.notes == (told,)
    rows = [{"image": f"{i}.jpg", "caption": CAT, "id": i} for i in (5, "5")]
    assert [image.id for image in read(tmp_path, rows).images] == [5]
    rows[1]["image"] = "6.jpg"
    assert [image.id for image in read(tmp_path, rows).images] == [None, None]
    (note,) = read(tmp_path, text.format(4, 4)).notes
    assert note.startswith("left out: 3 ids, which do not tell images apart, as b.jpg and c.jpg ")


def test_a_caption_a_line_with_the_images_beside_it(tmp_path):
    names = tmp_path / "images"
    names.write_text("a.jpg#0\nb.jpg\n")
    found = read(tmp_path, "Une chatte.\nUn chien.\n", image_list=names)
    assert (found.format, shown(found)) == ("sentences", "a.jpg : Une chatte. | b.jpg : Un chien.")
    found = read(tmp_path, "\nUn chien.\n\n", image_list=names)
    assert (shown(found), found.empty) == ("a.jpg : | b.jpg : Un chien.", 1)
    names.write_text("a.jpg\n\nb.jpg\n")
    found = read(tmp_path, "Une chatte.\nUn loup.\nUn chien.", image_list=names)
    assert shown(found) == "a.jpg : Une chatte. | b.jpg : Un chien."
    assert found.notes == (f"left out: 1 captions whose image {names} does not name (line 2)",)
    names.write_text("a.jpg\nb.jpg\n")
    with pytest.raises(ValueError, match="images: has 2 lines and .* 1, expected a name for each"):
        read(tmp_path, "Un chien.\n", image_list=names)
    with pytest.raises(ValueError, match="a caption a line without its image; give `image_list`"):
        read(tmp_path, "Un chien.\n", format="sentences")


def test_a_folder_of_splits_with_metadata(tmp_path):
    for split, name in (("train", "metadata.csv"), ("validation", "metadata.jsonl")):
        (tmp_path / split).mkdir()
        rows = {
            "metadata.csv": "file_name,text\na.png,A cat.\n",
            "metadata.jsonl": '{"file_name": "a.png", "text": "A dog."}\n',
        }
        (tmp_path / split / name).write_text(rows[name])
    found = read_caption_file(tmp_path)
    assert shown(found) == "train/a.png train: A cat. | validation/a.png val: A dog."


def test_a_folder_with_a_file_a_split(tmp_path):
    for name, text in (("captions_train2014", CAT), ("captions_val2014", "A dog.")):
        image = {"id": 7, "file_name": f"{name}.jpg"} if "val" in name else COCO["images"][0]
        content = {"images": [image | {"id": len(name)}], "annotations": []}
        content["annotations"].append({"image_id": len(name), "caption": text})
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "instances_val2014.json").write_text("{}")
    found = read_caption_file(tmp_path)
    assert found.format == "folder"
    assert found.detail == "captions_train2014.json, captions_val2014.json"
    assert shown(found) == "18 a.jpg train: A cat. | 16 captions_val2014.jpg val: A dog."


def test_texts_without_a_picture_are_left_out_where_others_have_one(tmp_path):
    for name in ("1.txt", "1.png", "README.txt", "2.jpg.txt", "2.jpg"):
        (tmp_path / name).write_text(CAT)
    found = read_caption_file(tmp_path)
    assert shown(found) == "1 : A cat. | 2.jpg : A cat."
    assert found.notes == ("left out: 1 text files without a picture beside them (README.txt)",)


def test_a_folder_of_texts(tmp_path):
    with pytest.raises(ValueError, match="is a folder without captions: it has no Parquet files"):
        read_caption_file(tmp_path)
    for name, text in (("a/1.txt", "A dog.\n\nTwo dogs.\n"), ("b/1.caption", CAT), ("c.md", "x")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = read_caption_file(tmp_path)
    assert (found.format, shown(found)) == ("texts", "a/1 : A dog., Two dogs. | b/1 : A cat.")
    with pytest.raises(ValueError, match="is a folder, expected a file of the format coco"):
        read_caption_file(tmp_path, ReadOptions(format="coco"))


def test_a_format_is_forced_or_refused(tmp_path):
    with pytest.raises(ValueError, match="`format` is 'xml', expected one of coco, karpathy"):
        read(tmp_path, TSV, format="xml")
    with pytest.raises(ValueError, match="has the format coco, not karpathy; leave out `format`"):
        read(tmp_path, COCO, format="karpathy")
    with pytest.raises(ValueError, match="has no known format: its first line is 'a cat'"):
        read(tmp_path, "a cat\n", format="table")


def test_a_table_without_a_header_may_be_forced(tmp_path):
    found = read(tmp_path, "a.jpg\tA cat\nb.jpg\tA dog\n", format="table")
    assert shown(found) == "a.jpg : A cat | b.jpg : A dog"


def test_the_guide_lists_every_format():
    guide = (Path(__file__).parents[2] / "docs/guide.md").read_text(encoding="utf-8")
    section = guide.partition("#### Caption files")[2].partition("####")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.M)) == sorted(FORMATS)
