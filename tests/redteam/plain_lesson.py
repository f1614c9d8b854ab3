"""A lesson as courses that know only nbgrader write it: answer cells, and test cells with asserts and hidden values.

One locked cell defines a helper of the tests, another one calls the student's function before it defines a second
helper. The same lesson exists with a magic above the imports, as many lessons begin.
"""

from __future__ import annotations

import json
from pathlib import Path

SLUG = "plain_attention"
MAGIC_SLUG = "plain_magic"
FULL = 13.0
EVENS_POINTS = 3  # of the tests that call `evens`

FIRST = """\
import math

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
"""
MAGIC = "%matplotlib inline\n"
ATTENTION = '''\
def attention(query, key, value):
    """Scaled dot-product attention."""
    return torch.softmax(query @ key.mT / math.sqrt(query.shape[-1]), dim=-1) @ value
'''
UNSCALED = """\
def attention(query, key, value):
    return torch.softmax(query @ key.mT, dim=-1) @ value
"""
ZEROS = """\
def attention(query, key, value):
    return torch.zeros(*query.shape[:-1], value.shape[-1])
"""
HEAD = """\
class Head(nn.Module):
    def __init__(self, width, out):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, out, bias=False) for _ in range(3))

    def forward(self, tokens):
        return attention(self.query(tokens), self.key(tokens), self.value(tokens))
"""
NO_HEAD = """\
class Head(nn.Module):
    pass
"""
EVENS = '''\
def evens(count):
    """The first even numbers."""
    if count < 0:
        raise ValueError("a count is not negative")
    return [2 * i for i in range(count)]
'''
NO_EVENS = """\
def evens(count):
    return []
"""
WORDS = '''\
def words(text):
    """How many words a text has."""
    return len(text.split())
'''
NO_WORDS = """\
def words(text):
    return -1
"""
RIGHT = {"attention": ATTENTION, "Head": HEAD, "evens": EVENS, "words": WORDS}
WRONG = {"attention": ZEROS, "Head": NO_HEAD, "evens": NO_EVENS, "words": NO_WORDS}
NO_SCALE = RIGHT | {"attention": UNSCALED}
NO_SCALE_POINTS = 5.5  # of the shares 0.5, of the others evens, its error and words

CLOSE = """\
def close(got, want):
    return torch.allclose(got, want, atol=1e-5)
"""
SHOWN = """\
print(attention(torch.ones(2, 4), torch.ones(3, 4), torch.ones(3, 5)).shape)


def expected(query, key, value):
    return torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, dim=-1) @ value
"""
TESTS = {
    "test_values": (
        2,
        """\
hidden_note = "{tests}"
torch.manual_seed(71)
query, key, value = torch.randn(2, 3, 4), torch.randn(2, 5, 4), torch.randn(2, 5, 6)
scores = torch.einsum("bqd,bkd->bqk", query, key) / math.sqrt(4)
want = torch.einsum("bqk,bke->bqe", scores.softmax(dim=-1), value)
got = attention(query, key, value)
assert got.shape == want.shape
assert torch.allclose(got, want, atol=1e-5)
""",
    ),
    "test_hidden": (
        1,
        """\
hidden_value = torch.tensor([[0.6697616, 0.3302384]])  # {tests}
one = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.eye(2)
assert close(attention(*one), hidden_value)
np.testing.assert_allclose(attention(*one).numpy(), hidden_value.numpy(), atol=1e-5)
""",
    ),
    "test_gradient": (
        1,
        """\
torch.manual_seed(72)
query, key, value = (torch.randn(3, 4, requires_grad=True) for _ in range(3))
attention(query, key, value).sum().backward()
mine = query.grad.clone(), key.grad.clone(), value.grad.clone()
query.grad = key.grad = value.grad = None
expected(query, key, value).sum().backward()
for got, want in zip(mine, (query.grad, key.grad, value.grad)):
    assert close(got, want)
""",
    ),
    "test_shares": (
        2,
        """\
torch.manual_seed(73)
right = 0
for width in (1, 2, 3, 4):
    one = torch.randn(3, width), torch.randn(4, width), torch.randn(4, 2)
    right += close(attention(*one), expected(*one))
round(2 * right / 4, 2)
""",
    ),
    "test_module": (
        2,
        """\
torch.manual_seed(74)
weights = {name: torch.randn(3, 6) for name in ("query.weight", "key.weight", "value.weight")}
head, tokens = Head(6, 3), torch.randn(2, 5, 6)
head.load_state_dict(weights)
q, k, v = (tokens @ weight.mT for weight in weights.values())
assert close(head(tokens), expected(q, k, v))
""",
    ),
    "test_evens": (
        1,
        """\
for count in (1, 4, 9):
    assert list(evens(count)) == [2 * i for i in range(count)]
    assert sum(evens(count)) == count * (count - 1)
assert all(map(lambda count: len(evens(count)) == count, (0, 3, 7)))
""",
    ),
    "test_error": (
        1,
        """\
try:
    evens(-1)
    refused = False
except Exception as error:
    refused = "negative" in str(error)
assert refused
""",
    ),
    "test_mean": (
        1,
        """\
np.mean(np.asarray(evens(5)) == np.arange(0, 10, 2))
""",
    ),
    "test_words": (
        2,
        """\
assert words("{inputs} two three") == 3
assert words("") == 0
assert words("a b") != 3
""",
    ),
}


def cells(answers: dict[str, str], secrets: dict[str, str], tests: bool = True, first: str = FIRST) -> list[dict]:
    """The cells with these answers; `secrets` fill the hidden places. Without `tests` they hold a stub, as released."""
    built = [_cell(first), *(_cell(text, name, solution=True) for name, text in answers.items())]
    built += [_cell(CLOSE, "close", locked=True), _cell(SHOWN, "shown", locked=True)]
    for name, (points, text) in TESTS.items():
        text = text.replace("{tests}", secrets["tests"]).replace("{inputs}", secrets["inputs"])
        built.append(_cell(text if tests else "# tested when it is marked", name, locked=True, points=points))
    return built


def notebook(built: list[dict]) -> dict:
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": spec}, "cells": built}


def write(folder: Path, slug: str, secrets: dict[str, str]) -> tuple[Path, Path]:
    """The master, which holds the tests, and the solution."""
    folder.mkdir(parents=True)
    first = MAGIC + FIRST if slug == MAGIC_SLUG else FIRST
    stubs = dict.fromkeys(RIGHT, "raise NotImplementedError\n")
    paths = folder / f"{slug}.ipynb", folder / f"{slug}_solution.ipynb"
    for path, answers in zip(paths, (stubs, RIGHT), strict=True):
        path.write_text(json.dumps(notebook(cells(answers, secrets, first=first))), encoding="utf-8")
    return paths


def _cell(text: str, name: str = "", solution: bool = False, locked: bool = False, points: float = 0) -> dict:
    cell = {"cell_type": "code", "id": name or "first", "metadata": {}, "source": text}
    cell |= {"outputs": [], "execution_count": None}
    if name:
        stamp = {"grade_id": name, "grade": bool(points), "solution": solution, "locked": locked, "task": False}
        cell["metadata"]["nbgrader"] = stamp | {"schema_version": 3} | ({"points": points} if points else {})
    return cell
