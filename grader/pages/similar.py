"""Answers that are more alike than chance and the exercise explain: a list for a person to look at, and no verdict.

Compared are fingerprints (see `grader.pages.fingerprints`) of one exercise at a time. What the released cell holds
does not count. What a good part of the class has is no evidence; the rarer a fingerprint, the more it weighs (its
inverse document frequency). An inverted index, from a fingerprint to who has it, leads to the pairs with something
in common, so nobody is compared with everybody.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

from grader.pages.fingerprints import fingerprints, grams

REFERENCE = "the reference solution"
LEAST = 8  # fingerprints without which an answer is too short to say anything, and rare ones a pair must share
COMMON_SHARE = 0.25  # of the class: a fingerprint that more have is no evidence
COMMON_COUNT = 4  # ... but in a small class as many may share one
PAIRS = 1_000  # of an exercise that are kept


@dataclass(frozen=True, order=True)
class Pair:
    """Two answers to one exercise; right is `REFERENCE` where `reference` is set.

    share: of the weight of the smaller answer's rare fingerprints, what both have, 0 to 1. common: how many those are.
    """

    exercise: str
    left: str
    right: str
    share: float
    common: int
    reference: bool = False


@dataclass
class Comparison:
    """pairs: the most alike first. too_short: exercise -> students whose answer is too short to say anything."""

    pairs: list[Pair] = field(default_factory=list)
    too_short: dict[str, list[str]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, for JSON."""
        return asdict(self)


def similar(
    sources: Mapping[str, Mapping[str, str]], stubs: Mapping[str, str], reference: Mapping[str, str]
) -> list[Pair]:
    """The pairs of `compare`."""
    return compare(sources, stubs, reference).pairs


def compare(
    sources: Mapping[str, Mapping[str, str]], stubs: Mapping[str, str], reference: Mapping[str, str]
) -> Comparison:
    """All answers to each exercise against each other and against the reference.

    sources: student -> exercise -> text of the cell; stubs, reference: exercise -> text of the released cell and of
    the solution. An exercise without a stub or a reference is compared without it.
    """
    comparison = Comparison()
    for exercise in sorted({name for texts in sources.values() for name in texts}):
        answers = {student: texts[exercise] for student, texts in sources.items() if exercise in texts}
        short, pairs = _compare_one(exercise, answers, stubs.get(exercise, ""), reference.get(exercise))
        comparison.pairs += pairs
        if short:
            comparison.too_short[exercise] = short
    comparison.pairs.sort(key=_most_alike)
    return comparison


def _compare_one(
    exercise: str, answers: Mapping[str, str], stub: str, reference: str | None
) -> tuple[list[str], list[Pair]]:
    given = {gram.hash for gram in grams(stub)}
    own = {student: _own(text, given) for student, text in answers.items()}
    short = sorted(student for student, hashes in own.items() if len(hashes) < LEAST)
    long = {student: own[student] for student in sorted(own.keys() - set(short))}
    solution = frozenset() if reference is None else _own(reference, given)
    weights = _weights(long.values(), solution)
    rare = {student: hashes & weights.keys() for student, hashes in long.items()}
    pairs = chain(_among(exercise, rare, weights), _against(exercise, rare, weights, solution & weights.keys()))
    return short, heapq.nsmallest(PAIRS, pairs, key=_most_alike)


def _most_alike(pair: Pair) -> tuple:
    return -pair.share, -pair.common, pair.exercise, pair.left, pair.right


def _own(text: str, given: set[int]) -> frozenset[int]:
    return frozenset(gram.hash for gram in fingerprints(text)) - given


def _weights(answers: Collection[frozenset[int]], solution: frozenset[int]) -> dict[int, float]:
    """What each fingerprint that is rare enough to be evidence weighs; one of the solution's alone is the rarest."""
    count = Counter(chain.from_iterable(answers))
    count.update(solution - count.keys())
    most = max(COMMON_COUNT, COMMON_SHARE * len(answers))
    return {hash_: math.log(1 + len(answers) / times) for hash_, times in count.items() if times <= most}


def _among(exercise: str, rare: Mapping[str, frozenset[int]], weights: Mapping[int, float]) -> Iterator[Pair]:
    """Every two students with enough rare fingerprints in common."""
    holders: dict[int, list[str]] = defaultdict(list)  # of those before, so that each pair comes once
    total = {student: _weight(hashes, weights) for student, hashes in rare.items()}
    for right, hashes in rare.items():
        common: Counter[str] = Counter()
        for hash_ in hashes:
            common.update(holders[hash_])
            holders[hash_].append(right)
        for left, count in common.items():
            if count >= LEAST:
                shared = _weight(hashes & rare[left], weights)
                yield Pair(exercise, left, right, shared / min(total[left], total[right]), count)


def _against(
    exercise: str, rare: Mapping[str, frozenset[int]], weights: Mapping[int, float], solution: frozenset[int]
) -> Iterator[Pair]:
    """Every student with enough rare fingerprints of the reference solution."""
    for student, hashes in rare.items():
        shared = hashes & solution
        if len(shared) >= LEAST:
            smaller = min(_weight(hashes, weights), _weight(solution, weights))
            share = _weight(shared, weights) / smaller
            yield Pair(exercise, student, REFERENCE, share, len(shared), reference=True)


def _weight(hashes: Iterable[int], weights: Mapping[int, float]) -> float:
    return math.fsum(weights[hash_] for hash_ in hashes)


def common_spans(left: str, right: str, stub: str = "") -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Where the runs of tokens lie that both texts have and the stub has not: (start, end) in each, not overlapping."""
    given = {gram.hash for gram in grams(stub)}
    ours, theirs = grams(left), grams(right)
    both = {gram.hash for gram in ours} & {gram.hash for gram in theirs} - given
    return tuple(_joined((gram.start, gram.end) for gram in every if gram.hash in both) for every in (ours, theirs))


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in spans:  # in the order of the text
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
