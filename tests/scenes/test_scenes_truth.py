"""Captions and their truth: what the grammar writes is true, and each lie is found out."""

import dataclasses

import pytest

from jaxcap.scenes import (
    Claim,
    Group,
    Scene,
    captions,
    check_caption,
    is_true,
    sample_scene,
    truth_report,
)
from jaxcap.scenes.grammar import expand, read_caption
from jaxcap.scenes.language import MAX_WORDS
from jaxcap.scenes.lexicon import (
    BACKGROUND_PHRASES,
    NUMBERS,
    PLACE_PHRASES,
    PLURALS,
    WORDS,
    article,
)
from jaxcap.scenes.truth import CLAIM_KINDS
from jaxcap.scenes.world import BACKGROUNDS, COLOURS, COUNTS, KINDS, PLACES, inverse

PAIR = Scene(
    (Group("boat", "red", 1, "small", "left"), Group("tree", "blue", 2, None, "right")), "sea", 0
)
SINGLE = Scene((Group("umbrella", "orange", 1, "large", "middle"),), "beach", 0)
FOUR = Scene((Group("fish", "white", 4, None, "top"),), "night", 0)

TRUE = [
    (PAIR, "a red boat to the left of two blue trees"),
    (PAIR, "two blue trees right of a small red boat"),
    (PAIR, "there is a little boat and two trees on the water"),
    (PAIR, "a red boat with two blue trees to its right"),
    (PAIR, "two trees with a boat to their left at sea"),
    (PAIR, "left of two trees there is one red boat"),
    (PAIR, "we can see a boat on the left and two trees on the right at sea"),
    (PAIR, "on the right are two blue trees and on the left is a boat"),
    (PAIR, "a boat"),
    (PAIR, "two trees are on the right side"),
    (SINGLE, "an orange umbrella"),
    (SINGLE, "an umbrella on the beach"),
    (SINGLE, "a large orange umbrella can be seen in the middle on the sand"),
    (SINGLE, "in the centre is a big umbrella"),
    (FOUR, "four white fish at the top in the night sky"),
    (FOUR, "in the dark there are four fish"),
]

FALSE = [
    (PAIR, "a blue boat left of two red trees", {"blue", "red"}),
    (PAIR, "a blue boat left of two trees", {"blue"}),
    (PAIR, "a red boat right of two blue trees", {"right of"}),
    (PAIR, "two blue trees to the left of a red boat", {"to the left of"}),
    (PAIR, "a red boat above two blue trees", {"above"}),
    (PAIR, "a red boat with two blue trees to its left", {"to its left"}),
    (PAIR, "two red boats left of one blue tree", {"two", "one"}),
    (PAIR, "a large boat and two trees", {"large"}),
    (PAIR, "two small trees", {"small"}),
    (PAIR, "a boat on the right", {"on the right"}),
    (PAIR, "a red boat on the beach", {"on the beach"}),
    (PAIR, "a red car left of two blue trees", {"car"}),
    (SINGLE, "an orange umbrella and a red boat", {"a", "red", "boat"}),
    (
        SINGLE,
        "an orange umbrella left of an orange umbrella",
        {"left of", "an", "orange", "umbrella"},
    ),
    (FOUR, "three white fish at the top", {"three"}),
]

NO_SENTENCE = [
    "",
    "boat",
    "a red",
    "a red red boat",
    "a red small boat",
    "a orange umbrella",
    "an red boat",
    "two boat",
    "a boats",
    "one boats",
    "a fish is",
    "there are a red boat",
    "there is two blue trees",
    "two trees is on the right",
    "a red boat left",
    "a red boat left of",
    "a red boat of two trees",
    "two trees with a boat to its left",
    "a boat with two trees to their right",
    "a red boat to the left of two blue trees two",
    "a red boat at sea at sea",
    "a red boat and",
    "a red dog",
    "A red boat",
    "a red boat.",
    "a boat and two trees and a car",
    "left of two trees a boat",
    "at sea",
    "on the left",
    "we see",
    "we see there is a boat",
]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [
        *(sample_scene("train", index) for index in range(700)),
        *(sample_scene("val", index) for index in range(300)),
    ]


def false_claims(scene: Scene, caption: str) -> list[Claim]:
    return [claim for claim in check_caption(scene, caption) if not claim.holds]


@pytest.mark.slow
def test_five_different_captions_all_true_of_words_of_the_vocabulary(scenes: list[Scene]):
    words = set()
    kinds = set()
    for scene in scenes:
        found = captions(scene)
        assert len(set(found)) == 5
        for caption in found:
            assert is_true(scene, caption), caption
            assert 3 <= len(caption.split()) <= MAX_WORDS
            words |= set(caption.split())
            kinds |= {claim.kind for claim in check_caption(scene, caption)}
    assert words == set(WORDS)
    assert kinds == set(CLAIM_KINDS)
    assert 80 <= len(WORDS) <= 120


def test_captions_are_the_same_for_the_same_scene_and_name_every_group(scenes: list[Scene]):
    for scene in scenes[:200]:
        assert captions(scene) == captions(scene)
        for caption in captions(scene):
            named = [claim for claim in check_caption(scene, caption) if claim.kind == "thing"]
            assert len(named) == len(scene.groups)


def corrupt(scene: Scene, number: int, **change: object) -> Scene:
    groups = list(scene.groups)
    groups[number] = dataclasses.replace(groups[number], **change)
    return dataclasses.replace(scene, groups=tuple(groups))


@pytest.mark.parametrize("field", ["kind", "colour", "size", "background"])
def test_a_caption_of_a_scene_changed_in_one_thing_has_just_that_claim_false(
    scenes: list[Scene], field: str
):
    kind_of_claim = {"kind": "thing"}.get(field, field)
    checked = 0
    for scene in scenes[::4]:
        group = scene.groups[0]
        if field == "background":
            other = dataclasses.replace(scene, background=_next(BACKGROUNDS, scene.background))
        elif field == "size":
            if group.size is None:
                continue
            other = corrupt(scene, 0, size=_next(("small", "large"), group.size))
        elif field == "kind":
            unused = [kind for kind in KINDS if kind not in {g.kind for g in scene.groups}]
            other = corrupt(scene, 0, kind=unused[scene.look % len(unused)])
        else:
            other = corrupt(scene, 0, colour=_next(COLOURS, group.colour))
        for caption in captions(scene):
            wrong = false_claims(other, caption)
            stated = _states(scene, caption, kind_of_claim, group)
            assert [claim.kind for claim in wrong] == [kind_of_claim] * stated, caption
            checked += stated
    assert checked > 150


def _states(scene: Scene, caption: str, kind: str, group: Group) -> int:
    """Count the claims of a kind that a caption makes about a group, or about the background."""
    facts = read_caption(caption)
    subjects = {f.subject for f in facts if f.kind == "thing" and f.value == group.kind} | {0}
    return sum(fact.kind == kind and fact.subject in subjects for fact in facts)


def _next(options: tuple[str, ...], value: str) -> str:
    return options[(options.index(value) + 1) % len(options)]


def test_another_count_relation_or_place_in_a_caption_is_just_that_claim_false():
    for count in COUNTS:
        noun = "boat" if count == 1 else "boats"
        wrong = false_claims(PAIR, f"{NUMBERS[count]} red {noun} left of two blue trees")
        assert [claim.kind for claim in wrong] == ["count"] * (count != 1)
    for place in PLACES:
        for phrase in PLACE_PHRASES[place]:
            wrong = false_claims(PAIR, f"a red boat {phrase} at sea")
            assert [claim.kind for claim in wrong] == ["place"] * (place != "left")
    for phrase in ("right of", "to the right of", "above", "below", "over", "under"):
        wrong = false_claims(PAIR, f"a red boat {phrase} two blue trees")
        assert wrong == [Claim("relation", phrase, False)]
    assert inverse(inverse("above")) == "above"


@pytest.mark.parametrize(("scene", "caption"), TRUE)
def test_true(scene: Scene, caption: str):
    assert is_true(scene, caption)


@pytest.mark.parametrize(("scene", "caption", "false"), FALSE)
def test_false(scene: Scene, caption: str, false: set[str]):
    assert {claim.text for claim in false_claims(scene, caption)} == false
    assert not is_true(scene, caption)


@pytest.mark.parametrize("caption", NO_SENTENCE)
def test_no_sentence(caption: str):
    for scene in (PAIR, SINGLE, FOUR):
        assert check_caption(scene, caption) == ()
        assert not is_true(scene, caption)


def test_every_noun_phrase_is_read_and_no_other():
    for kind in KINDS:
        for colour in COLOURS:
            assert read_caption(f"{article(colour)} {colour} {kind}")
            assert read_caption(f"{article(kind)} {kind}")
            assert read_caption(f"two {colour} {PLURALS[kind]}")
            assert not read_caption(f"{colour} {kind}")
            assert not read_caption(f"a {kind} {colour}")
    for phrases in BACKGROUND_PHRASES.values():
        for phrase in phrases:
            assert read_caption(f"{phrase} there is a cat")
            assert not read_caption(f"{phrase} there are a cat")


def test_claims_stand_in_the_order_of_their_words_and_with_their_words():
    assert check_caption(PAIR, "one green boat to the left of two trees by a wall") == (
        Claim("count", "one", True),
        Claim("colour", "green", False),
        Claim("thing", "boat", True),
        Claim("relation", "to the left of", True),
        Claim("count", "two", True),
        Claim("thing", "trees", True),
        Claim("background", "by a wall", False),
    )


def test_a_form_stands_for_all_rows_with_and_without_its_options():
    assert expand("G1 [can] see [B]") == (
        ("G1", "can", "see", "B"),
        ("G1", "can", "see"),
        ("G1", "see", "B"),
        ("G1", "see"),
    )


def test_a_report_counts_captions_and_claims():
    report = truth_report(
        [PAIR, PAIR, SINGLE, FOUR],
        ["a red boat", "a blue boat at sea", "an umbrella of", "four fish in the dark"],
    )
    assert (report.captions, report.true, report.unreadable) == (4, 2, 1)
    assert report.share_true == 0.5
    assert report.claims["colour"] == 2 and report.holding["colour"] == 1
    assert report.share("colour") == 0.5 and report.share("relation") == 0.0
    assert "wholly true   50.0%  2 of 4 captions" in str(report)
    assert "relation" not in str(report)
    assert truth_report([], []).share_true == 0.0
    with pytest.raises(ValueError, match="1 captions for 0 scenes"):
        truth_report([], ["a cat"])
