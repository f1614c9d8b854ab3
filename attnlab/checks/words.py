"""The sentences about a diagnosis: the same in a notebook's panel and on a page of feedback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Named(Protocol):
    """A mistake, as far as the sentences go."""

    belief: str
    why: str
    action: str


def diagnosis_lines(
    certainty: str, mistakes: Sequence[Named], hunt: bool = False, raised: bool = False
) -> list[tuple[str, str]]:
    """What is known of the mistake, line by line: ("diagnosis", "why" or "next", sentence). [] where none is named.

    hunt: the answer was a law about implementations. raised: a case at least ended in an exception.
    """
    if not mistakes:
        return []
    first = mistakes[0]
    why = ("why", " ".join(first.why.split()))
    if certainty == "two mistakes":
        named = " (2) ".join(mistake.belief for mistake in mistakes)
        return [
            ("diagnosis", f"Two mistakes at once give exactly your numbers: (1) {named}"),
            why,
            ("next", _in_turn(first.action, mistakes[1].action)),
        ]
    opening = "Not exactly a mistake that we know. The same laws fail when"
    if certainty == "same outputs":
        opening = _exactly(hunt, raised)
    return [("diagnosis", f"{opening} {first.belief}"), why, ("next", f"Next: {first.action}")]


def _in_turn(first: str, second: str) -> str:
    if first == second:
        return f"Next, at both places: {first}"
    return f"Next, one after the other: {first} Then: {second}"


def _exactly(hunt: bool, raised: bool) -> str:
    if hunt:
        return "Your law accepts and rejects the same implementations as this one:"
    if raised:
        return "It fails exactly as this mistake does:"
    return "Your numbers are exactly those of this mistake:"
