"""Fingerprints of code that do not change with names, comments and layout.

Winnowing, after S. Schleimer, D. S. Wilkerson and A. Aiken, "Winnowing: local algorithms for document fingerprinting",
SIGMOD 2003: hash every run of GRAM tokens, and of every WINDOW hashes in a row keep the smallest, the rightmost of
equal ones. Two texts with WINDOW + GRAM - 1 equal tokens in a row then have a fingerprint in common for certain.
"""

from __future__ import annotations

import hashlib
import io
import keyword
import re
import tokenize
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

GRAM = 6  # tokens: shorter runs than this are shared by chance
WINDOW = 4  # hashes
CHARACTERS = 50_000  # of a text that are looked at: a cell by hand has a fiftieth of that

_LAYOUT = {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.ENDMARKER}
# For text that is no Python: comments and blanks, then strings, numbers, names, operators, anything else.
_SPLIT = re.compile(
    r"(?P<layout>\#[^\n]*|\s+)"
    r"|(?P<string>[rbfuRBFU]{0,2}(?:'''.*?'''|\"\"\".*?\"\"\"|'[^'\n]*'?|\"[^\"\n]*\"?))"
    r"|(?P<number>0[xXoObB]\w+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?[jJ]?)"
    r"|(?P<name>\w+)"
    r"|(?P<operator>\*\*=?|//=?|->|:=|\.\.\.|<<=?|>>=?|[-+*/%@&|^=<>!]=|.)",
    re.DOTALL,
)
_ENDS = re.compile(r"[^\S\n]*(#|\n|\Z)")  # nothing more on this line


class Token(NamedTuple):
    """A token by its class, and the characters of the text that it stands for (from start up to end)."""

    kind: str
    start: int
    end: int


class Gram(NamedTuple):
    """The hash of GRAM tokens in a row, and the characters that they stand for."""

    hash: int
    start: int
    end: int


def fingerprints(text: str) -> list[Gram]:
    """The hashes that winnowing keeps, in the order of the text; all of them where there are fewer than WINDOW."""
    every = grams(text)
    kept: dict[int, Gram] = {}
    for first in range(max(len(every) - WINDOW + 1, min(len(every), 1))):
        window = range(first, min(first + WINDOW, len(every)))
        chosen = min(window, key=lambda place: (every[place].hash, -place))
        kept[chosen] = every[chosen]
    return [kept[place] for place in sorted(kept)]


def grams(text: str) -> list[Gram]:
    """The hash of every run of GRAM tokens."""
    found = tokens(text)
    return [
        Gram(_hash(tuple(token.kind for token in run)), run[0].start, run[-1].end)
        for run in (found[place : place + GRAM] for place in range(len(found) - GRAM + 1))
    ]


@lru_cache(maxsize=1 << 16)
def _hash(kinds: tuple[str, ...]) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(kinds).encode(), digest_size=8).digest())


def tokens(text: str) -> list[Token]:
    """The tokens that mean something, by class. Text that Python cannot tokenize is split by a tolerant rule.

    A name that the author was free to choose is NAME, whatever it is. What comes after a dot is kept, because it is
    the library's (`.softmax`), except after `self`. Literals are NUMBER and STRING; a string that stands alone (a
    docstring, or a comment in its clothes) is left out, and so are comments, line ends, indentation, and round
    brackets, which can be put around anything.
    """
    text = text[:CHARACTERS]
    try:
        words = list(_by_python(text))
    except (tokenize.TokenError, SyntaxError, ValueError):
        words = list(_by_rule(text))
    classed, before, last = [], "", ""
    for word, kind, start, end in words:
        if kind == "NAME" and (keyword.iskeyword(word) or (last == "." and before != "self")):
            kind = word
        if word not in ("(", ")"):
            classed.append(Token(kind or word, start, end))
        before, last = last, word
    return classed


def _by_python(text: str) -> Iterator[tuple[str, str, int, int]]:
    """(word, NAME, NUMBER, STRING or "", start, end) by Python's own tokenizer."""
    starts = [0]
    for line in io.StringIO(text):
        starts.append(starts[-1] + len(line))
    alone = True  # has this logical line nothing yet?
    found = list(tokenize.generate_tokens(io.StringIO(text).readline))
    telling = [token for token in found if token.type not in (tokenize.COMMENT, tokenize.NL)]
    for token, after in zip(telling, [*telling[1:], None], strict=True):
        if token.type in _LAYOUT or not token.string.strip():
            alone = alone or token.type == tokenize.NEWLINE
            continue
        docstring = alone and token.type == tokenize.STRING and after and after.type == tokenize.NEWLINE
        alone = False
        if docstring:
            continue
        kinds = {tokenize.NAME: "NAME", tokenize.NUMBER: "NUMBER", tokenize.STRING: "STRING"}
        start, end = (starts[row - 1] + column for row, column in (token.start, token.end))
        yield token.string, kinds.get(token.type, ""), start, end


def _by_rule(text: str) -> Iterator[tuple[str, str, int, int]]:
    """The same by a regular expression that takes anything."""
    line_began = True
    for found in _SPLIT.finditer(text):
        kind, word = found.lastgroup, found[0]
        if kind == "layout":
            line_began = line_began or "\n" in word
            continue
        docstring = line_began and kind == "string" and _ENDS.match(text, found.end())
        line_began = False
        if not docstring:
            yield word, "" if kind == "operator" else kind.upper(), *found.span()
