"""Files of results and references: what is wrong is named, what can be scored is counted."""

import json

import pytest

from jaxcap.scoring.results import match, read_references, read_results, write_results


@pytest.fixture
def write(tmp_path):
    """`write(value)` gives the path of a JSON file."""

    def write(value, name="file.json"):
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return path

    return write


def entry(image_id, caption="a cat", **rest):
    return {"image_id": image_id, "caption": caption, **rest}


def test_results(write):
    path = write([entry(3, "a cat"), entry(1, "caf\u00e9\nau lait"), entry(2**40, "x", score=0.5)])
    assert read_results(path) == {3: "a cat", 1: "caf\u00e9\nau lait", 2**40: "x"}


def test_results_are_read_as_written(tmp_path):
    captions = {3: "a cat", 0: "caf\u00e9\nau lait", 7: ""}
    write_results(tmp_path / "out.json", captions)
    with pytest.warns(UserWarning, match="1 captions are empty"):
        found = read_results(tmp_path / "out.json")
    assert list(found.items()) == list(captions.items())


def test_references(write):
    images = [{"id": 1, "coco_url": "http://example.org/1.jpg"}, {"id": 2}, {"id": "x"}, 5]
    annotations = [entry(1, "a", id=1), entry(2, "b", id=2), entry(1, "c", id=3), entry(2, "d")]
    found = read_references(write({"annotations": annotations, "images": images}))
    assert found.captions == {1: ["a", "c"], 2: ["b", "d"]}
    assert found.urls == {1: "http://example.org/1.jpg"}
    assert read_references(write({"annotations": annotations, "images": 5})).urls == {}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[", "not JSON"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("9" * 5000, "not JSON"),
        ({"a": 1}, "it is a dict, expected the form"),
        ({"annotations": []}, "were --results and --references exchanged"),
        (None, "it is a NoneType"),
        ([], "holds no captions"),
        ([5], r"entry 0 is 5, expected the form \[\{"),
        ([entry(1), {"image_id": 2}], r"entry 1 has no caption, only \['image_id'\]"),
        ([{"caption": "a"}], "entry 0 has no image_id"),
        ([entry(1, None)], "entry 0 has caption None, expected a string"),
        ([entry(1, ["a"])], "expected a string"),
        ([entry(1.0)], "entry 0 has image_id 1.0, expected an integer"),
        ([entry(True)], "expected an integer"),
        ([entry("a.jpg")], "image_id 'a.jpg', expected an integer"),
        ([entry("\u0663")], "expected an integer"),
        ([entry(None)], "expected an integer"),
        ([entry(1), entry(2), entry(1)], "entry 2 is the second caption of image 1"),
    ],
)
def test_wrong_results_are_one_error_with_the_file(write, value, message):
    path = write("null" if value is None else value)
    with pytest.raises(ValueError, match=message) as error:
        read_results(path)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([entry(1)], "were --results and --references exchanged"),
        ({"images": []}, r"holds \['images'\], expected the form"),
        ("5", "holds int, expected the form"),
        ({"annotations": 5}, "annotations is a int"),
        ({"annotations": []}, "annotations is empty"),
        ({"annotations": [{"image_id": 1}]}, r"annotations\[0\] has no caption"),
        ({"annotations": [entry("x")]}, r"annotations\[0\] has image_id 'x'"),
        (
            {"annotations": [entry(1, id=7), entry(2, id=7)]},
            r"\[1\] has the id 7 of annotations\[0",
        ),
    ],
)
def test_wrong_references_are_one_error_with_the_file(write, value, message):
    path = write(value)
    with pytest.raises(ValueError, match=message) as error:
        read_references(path)
    assert str(error.value).startswith(str(path))


def test_a_missing_file_is_named(tmp_path):
    for read in (read_results, read_references):
        with pytest.raises(FileNotFoundError, match="none.json"):
            read(tmp_path / "none.json")


def test_ids_as_strings_of_digits_are_numbers(write):
    with pytest.warns(UserWarning, match="2 image ids are strings of digits"):
        assert read_results(write([entry("12"), entry(3), entry("4")])).keys() == {12, 3, 4}
    with pytest.raises(ValueError, match="entry 1 is the second caption of image 12"):
        read_results(write([entry("12"), entry(12)]))


def test_empty_captions_and_references_are_counted(write):
    with pytest.warns(UserWarning, match="2 captions are empty"):
        read_results(write([entry(1, ""), entry(2, " \n"), entry(3)]))
    with pytest.warns(UserWarning, match="1 references are empty"):
        read_references(write({"annotations": [entry(1, ""), entry(1)]}))


def test_images_on_one_side_only_are_counted(tmp_path):
    results, references = tmp_path / "results.json", tmp_path / "references.json"
    captions = {2: "a", 1: "b", 9: "c"}
    with pytest.warns(UserWarning) as caught:
        found = match(captions, {1: ["x"], 2: ["y"], 3: ["z"]}, results, references)
    assert list(found.items()) == [(2, ["y"]), (1, ["x"])]
    assert captions == {2: "a", 1: "b"}
    messages = [str(warning.message) for warning in caught]
    assert (
        "1 captions are of images without references and are left out, first image 9"
        in (messages[0])
    )
    assert "1 of the 3 images with references have no caption, first image 3" in messages[1]


def test_no_image_in_common_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="images 1, 2, 3 and 1 more and the references are of 7"):
        match({i: "a" for i in (1, 2, 3, 4)}, {7: ["x"]}, tmp_path / "a", tmp_path / "b")
