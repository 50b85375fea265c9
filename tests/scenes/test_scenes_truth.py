"""Captions and their truth: what the grammar writes is true, and each lie is found out."""

from dataclasses import replace

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
from jaxcap.scenes.grammar import read_caption
from jaxcap.scenes.language import MAX_WORDS
from jaxcap.scenes.lexicon import PLURALS, WORDS, article
from jaxcap.scenes.truth import CLAIM_KINDS
from jaxcap.scenes.world import BACKGROUNDS, COLOURS, KINDS

PAIR = Scene(
    (Group("boat", "red", 1, "small", "left"), Group("tree", "blue", 2, None, "right")), "sea", 0
)
SINGLE = Scene((Group("umbrella", "orange", 1, "large", "middle"),), "beach", 0)
FOUR = Scene((Group("fish", "white", 4, None, "top"),), "night", 0)
TRUE = [
    (PAIR, "a red boat to the left of two blue trees | two blue trees right of a small red boat"),
    (PAIR, "there is a little boat and two trees on the water | left of two trees there is a boat"),
    (PAIR, "a red boat with two blue trees to its right | two trees with a boat to their left"),
    (PAIR, "we can see a boat on the left and two trees on the right at sea | a boat"),
    (
        PAIR,
        "on the right are two blue trees and on the left is a boat | two trees",
    ),
    (SINGLE, "an orange umbrella | an umbrella on the beach | in the centre is a big umbrella"),
    (SINGLE, "a large orange umbrella can be seen in the middle on the sand"),
    (FOUR, "four white fish at the top in the night sky | in the dark there are four fish"),
]
FALSE = [
    (PAIR, "a blue boat left of two red trees", "blue red"),
    (PAIR, "a red boat right of two blue trees", "right_of"),
    (PAIR, "two blue trees to the left of a red boat", "to_the_left_of"),
    (PAIR, "a red boat above two blue trees", "above"),
    (PAIR, "a red boat with two blue trees to its left", "to_its_left"),
    (PAIR, "two red boats left of one blue tree", "two one"),
    (PAIR, "a large boat and two small trees", "large small"),
    (PAIR, "a boat on the right", "on_the_right"),
    (PAIR, "a red boat on the beach", "on_the_beach"),
    (PAIR, "a red car left of two blue trees", "car"),
    (SINGLE, "an orange umbrella and a red boat", "a red boat"),
    (SINGLE, "an orange umbrella left of an orange umbrella", "left_of an orange umbrella"),
    (FOUR, "three white fish at the top", "three"),
]
NO_SENTENCE = (
    "| boat | a red | a red red boat | a red small boat | a orange umbrella | two boat"
    " | a boats | one boats | a fish is | there are a red boat | there is two blue trees | at sea"
    " | two trees is on the right | a red boat left | a red boat left of | a red boat of two trees"
    " | two trees with a boat to its left | a boat with two trees to their right | a red boat and"
    " | a red boat to the left of two blue trees two | a red boat at sea at sea | we see"
    " | A red boat | a red boat. | a boat and two trees and a car | left of two trees a boat"
    " | on the left | we see there is a boat"
)


@pytest.fixture(scope="module")
def scenes():
    counts = {"train": 160, "val": 90}
    return [sample_scene(split, index) for split, n in counts.items() for index in range(n)]


def false_claims(scene, caption):
    return [claim for claim in check_caption(scene, caption) if not claim.holds]


def test_five_different_captions_all_true_of_words_of_the_vocabulary(scenes):
    words, kinds = set(), set()
    for scene in scenes:
        found = captions(scene)
        assert len(set(found)) == 5 and found == captions(scene)
        for caption in found:
            claims = check_caption(scene, caption)
            assert claims and all(claim.holds for claim in claims), caption
            assert 3 <= len(caption.split()) <= MAX_WORDS
            assert sum(claim.kind == "thing" for claim in claims) == len(scene.groups)
            words |= set(caption.split())
            kinds |= {claim.kind for claim in claims}
    assert words == set(WORDS) and kinds == set(CLAIM_KINDS) and 80 <= len(WORDS) <= 120


def changed(scene, field):
    """The scene, changed in one thing about its first group or in its background."""
    group, options = scene.groups[0], {"size": ("small", "large"), "colour": COLOURS}
    if field == "background":
        return replace(scene, background=_next(BACKGROUNDS, scene.background))
    used = {group.kind for group in scene.groups}
    options["kind"] = [kind for kind in KINDS if kind == group.kind or kind not in used]
    other = replace(group, **{field: _next(options[field], getattr(group, field))})
    return replace(scene, groups=(other, *scene.groups[1:]))


def _next(options, value):
    return options[(options.index(value) + 1) % len(options)]


@pytest.mark.parametrize("field", ["kind", "colour", "size", "background"])
def test_a_caption_of_a_scene_changed_in_one_thing_has_just_that_claim_false(scenes, field):
    kind, checked = {"kind": "thing"}.get(field, field), 0
    for scene in scenes[::3]:
        group = scene.groups[0]
        if field == "size" and group.size is None:
            continue
        other = changed(scene, field)
        for caption in captions(scene):
            facts = read_caption(caption)
            about = {f.subject for f in facts if f.kind == "thing" and f.value == group.kind} | {0}
            stated = sum(fact.kind == kind and fact.subject in about for fact in facts)
            assert [claim.kind for claim in false_claims(other, caption)] == [kind] * stated
            checked += stated
    assert checked > 50


def test_claims_are_true_or_false_and_what_is_no_sentence_makes_none():
    for scene, listed in TRUE:
        for caption in listed.split(" | "):
            assert is_true(scene, caption), caption
    for scene, caption, words in FALSE:
        expected = {text.replace("_", " ") for text in words.split()}
        assert {claim.text for claim in false_claims(scene, caption)} == expected, caption
        assert not is_true(scene, caption)
    for kind, colour in zip(KINDS, COLOURS, strict=False):
        pair = Scene((Group(kind, colour, 2, None, "top"),), "sea", 0)
        assert is_true(pair, f"two {PLURALS[kind]}")
        assert read_caption(f"{article(colour)} {colour} {kind}")
        assert not read_caption(f"{colour} {kind}") and not read_caption(f"a {kind} {colour}")
    for caption in map(str.strip, NO_SENTENCE.split("|")):
        for scene in (PAIR, SINGLE, FOUR):
            assert check_caption(scene, caption) == () and not is_true(scene, caption), caption
    # In the order of their words, and with their words.
    claims = check_caption(PAIR, "one green boat to the left of two trees by a wall")
    texts = ["one", "green", "boat", "to the left of", "two", "trees", "by a wall"]
    assert [claim.text for claim in claims] == texts
    assert [claim.text for claim in claims if not claim.holds] == ["green", "by a wall"]
    assert claims[1] == Claim("colour", "green", False)


def test_a_report_counts_captions_and_claims():
    written = ["a red boat", "a blue boat at sea", "an umbrella of", "four fish in the dark"]
    report = truth_report([PAIR, PAIR, SINGLE, FOUR], written)
    assert (report.captions, report.true, report.unreadable) == (4, 2, 1)
    assert report.claims["colour"] == 2 and report.holding["colour"] == 1
    assert (report.share_true, report.share("colour"), report.share("relation")) == (0.5, 0.5, 0.0)
    assert "wholly true   50.0%  2 of 4 captions" in str(report) and "relation" not in str(report)
    assert truth_report([], []).share_true == 0.0
    with pytest.raises(ValueError, match="1 captions for 0 scenes"):
        truth_report([], ["a cat"])
