"""Truth of captions of scenes, claim by claim."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from jaxcap.scenes.grammar import Fact, read_caption
from jaxcap.scenes.world import Group, Scene

CLAIM_KINDS = ("thing", "colour", "count", "size", "place", "relation", "background")

_Binding = tuple[int | None, ...]


@dataclass(frozen=True)
class Claim:
    """Claim of a caption: its kind, one of `CLAIM_KINDS`, its words, and whether it holds."""

    kind: str
    text: str
    holds: bool


def check_caption(scene: Scene, caption: str) -> tuple[Claim, ...]:
    """Return every claim of a caption, in the order of its words, and whether it holds.

    Noun phrases are bound to different groups of the scene, so that as many claims as possible
    hold. Among equal bindings, the one with more correct kinds is used. All claims of a noun phrase
    are judged by its group: for a blue boat to the left of a red tree, "a red boat left of a blue
    tree" has two false colours. A noun phrase without a group has only false claims.

    Args:
        scene: what the picture shows.
        caption: words separated by spaces.

    Returns:
        The claims; none if the caption is not a correct sentence of the grammar.
    """
    facts = read_caption(caption)
    phrases = max((max(fact.subject, fact.other) for fact in facts), default=0)
    groups: list[int | None] = [*range(len(scene.groups))]
    groups += [None] * max(0, phrases - len(groups))

    def merit(binding: _Binding) -> tuple[int, int]:
        right = [fact for fact in facts if _holds(fact, scene, binding)]
        return len(right), sum(fact.kind == "thing" for fact in right)

    best = max(itertools.permutations(groups, phrases), key=merit)
    return tuple(Claim(fact.kind, fact.text, _holds(fact, scene, best)) for fact in facts)


def is_true(scene: Scene, caption: str) -> bool:
    """Say whether a caption is a correct sentence and all its claims hold."""
    claims = check_caption(scene, caption)
    return bool(claims) and all(claim.holds for claim in claims)


@dataclass(frozen=True)
class TruthReport:
    """Truth of some captions; `str` gives a table to print.

    Attributes:
        captions: number of captions.
        true: number of captions whose claims all hold.
        unreadable: number of captions that are not sentences.
        claims: number of claims by kind.
        holding: number of claims that hold, by kind.
    """

    captions: int
    true: int
    unreadable: int
    claims: dict[str, int]
    holding: dict[str, int]

    @property
    def share_true(self) -> float:
        """Share of captions that are wholly true; 0 without captions."""
        return self.true / self.captions if self.captions else 0.0

    def share(self, kind: str) -> float:
        """Return the share of claims of a kind that hold; 0 without such claims."""
        return self.holding[kind] / self.claims[kind] if self.claims[kind] else 0.0

    def __str__(self) -> str:
        lines = [
            f"wholly true  {self.share_true:6.1%}  {self.true} of {self.captions} captions",
            f"no sentence  {self.unreadable / max(self.captions, 1):6.1%}  {self.unreadable}",
        ]
        for kind, claims in self.claims.items():
            if claims:
                lines.append(
                    f"{kind:<11}  {self.share(kind):6.1%}  {self.holding[kind]} of {claims} claims"
                )
        return "\n".join(lines)


def truth_report(scenes: Sequence[Scene], captions: Sequence[str]) -> TruthReport:
    """Check one caption for each scene and count what holds.

    Raises:
        ValueError: the numbers of captions and scenes differ.
    """
    if len(scenes) != len(captions):
        raise ValueError(f"{len(captions)} captions for {len(scenes)} scenes, expected one each")
    checked = [check_caption(*pair) for pair in zip(scenes, captions, strict=True)]
    claims = Counter(claim.kind for found in checked for claim in found)
    holding = Counter(claim.kind for found in checked for claim in found if claim.holds)
    return TruthReport(
        captions=len(captions),
        true=sum(bool(found) and all(claim.holds for claim in found) for found in checked),
        unreadable=sum(not found for found in checked),
        claims={kind: claims[kind] for kind in CLAIM_KINDS},
        holding={kind: holding[kind] for kind in CLAIM_KINDS},
    )


def _holds(fact: Fact, scene: Scene, binding: _Binding) -> bool:
    if fact.kind == "background":
        return fact.value == scene.background
    bound = binding[fact.subject - 1]
    if bound is None:
        return False
    if fact.kind == "relation":
        other = binding[fact.other - 1]
        return other is not None and fact.value == scene.relation(bound, other)
    return fact.value == _property(scene.groups[bound], fact.kind)


def _property(group: Group, kind: str) -> str | None:
    values = {
        "thing": group.kind,
        "colour": group.colour,
        "count": str(group.count),
        "size": group.size,
        "place": group.place,
    }
    return values[kind]
