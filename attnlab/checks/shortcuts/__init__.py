"""Library shortcuts: does an answer call the very thing that its exercise asks to write?

An exercise names such calls (`Exercise.shortcuts`); what comes of one is the course's policy. There are two ways in,
and one reader behind both, so that practice and marking agree. They differ only in where a global name is looked up:

    find_shortcuts(sources, "attention", names)      in the texts of cells; nothing is run, nothing but `ast` is loaded
    shortcuts_of(attention, "attention", names)      in the process where the function lives: a notebook

Only what the exercise's own function or class uses counts, directly or through helpers: a cell that calls the
library to compare with it is none of our business. The reader follows imports, aliases, `getattr` with a plain
string, `functools.partial`, tables, closures, and methods of the learner's own classes.

It is no lock. What is put together at run time (`getattr(F, "scaled_" + rest)`, `eval`, `exec`, `F.__dict__`) is beyond
reading. Methods are known by name alone: `x.softmax(-1)` counts as a tensor's where x is nothing else that we know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attnlab.checks.shortcuts.live import Live
from attnlab.checks.shortcuts.names import ALWAYS, ATTENTION, SOFTMAX, stems
from attnlab.checks.shortcuts.reading import UNREADABLE, Reader, Scope, Shortcut, parsed, words_of

if TYPE_CHECKING:
    from attnlab.checks.exercise import Exercise

__all__ = ["ALWAYS", "ATTENTION", "SOFTMAX", "Shortcut", "find_shortcuts", "judged_elsewhere", "policy", "shortcuts_of"]

POLICIES = ("ignore", "warn", "refuse")
LONGEST = 200_000  # characters of source that are read, all cells together


def policy(text: str) -> str:
    """A policy's name. Raises ValueError for another: a slip of the pen must not switch it off unseen."""
    if text not in POLICIES:
        raise ValueError(f"Expected a policy on shortcuts, one of {', '.join(POLICIES)}; got {text!r}.")
    return text


def find_shortcuts(
    sources: Sequence[str],
    name: str,
    names: Iterable[str] = (),
    elsewhere: Mapping[str, Iterable[str]] | None = None,
) -> list[Shortcut]:
    """The shortcuts that the function or class `name` takes, each once, in the order in which they are met.

    sources: the texts of the cells in the order in which they ran, up to the check; one that cannot be read is
    passed over. names: the exercise's; `ALWAYS` is added. elsewhere: see `judged_elsewhere`. Never raises for a
    source's sake; sources longer than `LONGEST` together give [].
    """
    if sum(map(len, sources)) > LONGEST:
        return []
    reader = Reader(names, elsewhere or {})
    if not any(stem in words for words in map(words_of, sources) for stem in stems(reader.wanted)):
        return []  # most answers end here: the rest takes some milliseconds, which a class of thousands feels
    top = Scope()
    for text in sources:
        try:
            tree = parsed(text)
            top.lines = tuple(text.splitlines())
            reader.bind(top, tree.body)
        except UNREADABLE:
            continue
    return reader.shortcuts(top.get(name), top.places.get(name))


def shortcuts_of(
    answer: Any,
    name: str,
    names: Iterable[str] = (),
    elsewhere: Mapping[str, Iterable[str]] | None = None,
    lent: Collection[Any] = (),
) -> list[Shortcut]:
    """The same for an object of this process, whose source can be found (a file, or a cell of IPython).

    lent: references that `carry_on` gave the learner, which are therefore none of the learner's doing.
    """
    reader = Reader(names, elsewhere or {})
    return reader.shortcuts(Live({}, frozenset(map(id, lent))).value_of(answer, name))


def judged_elsewhere(exercise: Exercise) -> dict[str, tuple[str, ...]]:
    """What the lesson's other exercises name. Whoever calls one's own `attention` has not taken its shortcut again:
    it is reported, and paid for, where `attention` itself is judged."""
    from attnlab.checks import lessons

    others = [lesson.exercises for lesson in lessons() if lesson.module == exercise.lesson]
    return {other.name: other.shortcuts for all_ in others for other in all_.values() if other is not exercise}
