"""Fuzzes the referee: notebooks that nobody would write, marked by a real pair. Each must get a verdict.

`python -m tests.grader.fuzz 2000` marks that many and prints a summary; the same seed makes the same notebooks.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gzip
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from grader.jail.tiers import probes, tier_reached
from grader.mutants import CORE
from grader.mutation_operators import OWN
from grader.referee.master import Master, read_master
from grader.referee.pair import Pair, PairDied, Setup
from grader.referee.result import Result, Verdict
from grader.tags import NOT_FOR_MARKS

ROOT = Path(__file__).parents[2]
WELCOME, TINY = "00_welcome", "tiny"
BUDGET = {"cell": 3.0, "check": 5.0, "submission": 15.0}
LARGEST = 4 << 20  # bytes of a file
WARM = 40  # submissions after which memory is first looked at

Rng = random.Random


# A lesson of two exercises with plain nbgrader tests, which is quick to mark.

TINY_CELLS = (
    ("", "import torch", {}),
    (
        "double",
        "def double(x):\n    y = 2 * x\n    return y",
        {"solution": True},
    ),
    (
        "test_double",
        "assert double(3) == 6\nassert double(torch.ones(2, 3)).sum() == 12",
        {"grade": True, "locked": True, "points": 2},
    ),
    (
        "rows",
        "def rows(x, axis=-1):\n    total = x.sum(dim=axis, keepdim=True)\n    if axis < 0 and not x.ndim == 0:\n"
        "        x = x / total\n    return x",
        {"solution": True},
    ),
    (
        "test_rows",
        "x = torch.rand(2, 3, requires_grad=True)\ny = rows(x)\ny.square().sum().backward()\n"
        "assert torch.allclose(y.sum(-1), torch.ones(2)) and x.grad is not None\n1.5",
        {"grade": True, "locked": True, "points": 3},
    ),
)


def tiny_lesson() -> dict:
    """The lesson, solved, as a notebook."""
    flags = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    cells = []
    for i, (grade_id, text, own) in enumerate(TINY_CELLS):
        metadata = {"nbgrader": {**flags, "grade_id": grade_id, **own}} if grade_id else {}
        cell = {"cell_type": "code", "id": f"cell-{i}", "metadata": metadata, "execution_count": None, "outputs": []}
        cells.append(cell | {"source": text.splitlines(keepends=True)})
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


def welcome_lesson() -> dict:
    """Lesson 00 as released, without the cells that no mark needs (they draw, and take seconds)."""
    notebook = json.loads((ROOT / "lessons" / WELCOME / f"{WELCOME}.ipynb").read_text(encoding="utf-8"))
    notebook["cells"] = [cell for cell in notebook["cells"] if NOT_FOR_MARKS not in cell["metadata"].get("tags", [])]
    return notebook


def lesson_paths(folder: Path) -> dict[str, str]:
    """Where a pair finds the two lessons; the tiny one is written into `folder`."""
    tiny = folder / f"{TINY}.ipynb"
    tiny.write_text(json.dumps(tiny_lesson()), encoding="utf-8")
    return {TINY: str(tiny), WELCOME: str(ROOT / "lessons" / WELCOME / f"{WELCOME}.ipynb")}


def start_pair(lessons: dict[str, str], solutions: dict[str, str], **budget: float) -> Pair:
    """A pair in the strongest jail that this machine has, ready to mark."""
    hidden = [str(ROOT / folder) for folder in ("solutions", "lessons", "tests")]
    pair = Pair(Setup(lessons, solutions, hidden, tier=str(tier_reached(probes())), budget=budget))
    pair.receive(180)
    return pair


# Mutations of a notebook's JSON.


def _places(tree: object, found: list) -> list:
    """Every (container, key) of a JSON tree."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        found.append((tree, key))
        _places(value, found)
    return found


def _any_value(rng: Rng) -> object:
    return rng.choice(
        [None, True, False, 0, -1, 2**70, 1e999, float("nan"), -0.0, "", "x", "code", "\x00", "\ud800", "é" * 50]
        + [
            [],
            [[]],
            [1, "a", None],
            {},
            {"a": {}},
            "9" * 5000,
            ["print(1)\n", 3, None],
            {"nbgrader": []},
            "\u202e\u2028",
        ]
    )


def _retype(rng: Rng, notebook: dict) -> None:
    container, key = rng.choice(_places(notebook, []))
    container[key] = _any_value(rng)


def _delete(rng: Rng, notebook: dict) -> None:
    container, key = rng.choice(_places(notebook, []))
    del container[key]


def _move(rng: Rng, notebook: dict) -> None:
    """Put one piece of the tree in another's place."""
    places = _places(notebook, [])
    (source, old), (target, new) = rng.choice(places), rng.choice(places)
    target[new] = copy.deepcopy(source[old])


def _drop_cells(rng: Rng, notebook: dict) -> None:
    notebook["cells"] = [cell for cell in notebook["cells"] if rng.random() < 0.8]


def _repeat_cells(rng: Rng, notebook: dict) -> None:
    for _ in range(rng.randint(1, 4)):
        cell = copy.deepcopy(rng.choice(notebook["cells"]))
        notebook["cells"].insert(rng.randint(0, len(notebook["cells"])), cell)


def _shuffle_cells(rng: Rng, notebook: dict) -> None:
    rng.shuffle(notebook["cells"])


def _retag(rng: Rng, notebook: dict) -> None:
    """Exchange the stamps of two cells, or rewrite one."""
    one, other = (rng.choice(notebook["cells"])["metadata"] for _ in range(2))
    stamps = one.get("nbgrader", {}), other.get("nbgrader", {})
    one["nbgrader"], other["nbgrader"] = stamps[::-1]
    ids = ["softmax", "check_softmax", "double", "test_double", "", "x" * 300, "../../etc"]
    one["nbgrader"] = dict(one["nbgrader"], grade_id=rng.choice(ids), points=rng.choice([10**9, -5, "3", None, 1e308]))
    one["tags"] = rng.choice([[NOT_FOR_MARKS], ["a"] * 500, "tag", [None]])


def _retype_cell(rng: Rng, notebook: dict) -> None:
    rng.choice(notebook["cells"])["cell_type"] = rng.choice(["markdown", "raw", "code", "heading", "", "CODE"])


def _huge(rng: Rng, notebook: dict) -> None:
    rng.choice(notebook["cells"])["source"] = rng.choice(["#", "x = 1\n", "é", "(", "a." * 3]) * rng.randint(
        10**4, 10**6
    )


def _many_cells(rng: Rng, notebook: dict) -> None:
    copies = rng.choice([3, 30, 900])
    notebook["cells"] = notebook["cells"] * min(copies, max(1, LARGEST // len(_dumped(notebook))))


def _other_format(rng: Rng, notebook: dict) -> None:
    notebook["nbformat"] = rng.choice([3, 2, 5, "4", None, 10**30])
    if rng.random() < 0.5:
        notebook["worksheets"] = [{"cells": notebook.pop("cells")}]


JSON_MUTATIONS = (
    *(_retype, _retype, _delete, _move, _drop_cells, _repeat_cells, _shuffle_cells, _retag, _retype_cell),
    *(_huge, _many_cells, _other_format),
)


# Mutations of the file's bytes.


def _flip(rng: Rng, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 3, 30])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(rng: Rng, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def _cut_out(rng: Rng, data: bytes) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randint(1, 200) :]


def _nul(rng: Rng, data: bytes) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + b"\x00" * rng.randint(1, 9) + data[start:]


def _double_keys(rng: Rng, data: bytes) -> bytes:
    return data.replace(b'"cells"', b'"cells": [], "cells"', 1).replace(b'"source"', b'"source": "1/0", "source"', 3)


def _numbers_for_text(rng: Rng, data: bytes) -> bytes:
    return data.replace(b'"source": [', b'"source": [1, -2e400, NaN, Infinity, ')


def _nested(rng: Rng, data: bytes) -> bytes:
    depth = rng.choice([50, 900, 5000, 200_000])
    opening, closing = rng.choice([(b"[", b"]"), (b'{"a":', b"}")])
    return data.replace(
        b'"metadata": {', b'"deep": ' + opening * depth + b"0" + closing * depth + b', "metadata": {', 1
    )


def _recoded(rng: Rng, data: bytes) -> bytes:
    coding = rng.choice(["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7", "cp037"])
    return data.decode().encode(
        coding, "surrogatepass" if coding.startswith("utf-") and coding != "utf-7" else "replace"
    )


def _wrapped(rng: Rng, data: bytes) -> bytes:
    return rng.choice(
        [gzip.compress(data, mtime=0), data + data, b"[" + data + b"]", data + b"}", b" \n" * 9999 + data]
    )


BYTE_MUTATIONS = (*(_flip, _truncate, _cut_out, _nul, _double_keys, _numbers_for_text, _nested, _recoded, _wrapped),)


def _dumped(notebook: object) -> bytes:
    return json.dumps(notebook).encode()


def structure(rng: Rng, notebook: dict) -> bytes:
    """A few things changed in the tree, and sometimes something in the bytes."""
    for _ in range(rng.randint(1, 3)):
        with contextlib.suppress(
            KeyError, IndexError, TypeError, ValueError, AttributeError
        ):  # changed too much before
            rng.choice(JSON_MUTATIONS)(rng, notebook)
    data = _dumped(notebook)
    return (rng.choice(BYTE_MUTATIONS)(rng, data) if rng.random() < 0.4 else data)[:LARGEST]


# Mutations of the code in a solution cell.


def _operator(rng: Rng, text: str) -> str:
    operators = [*(get_operator(f"core/{name}")() for name in CORE), *(operator() for operator in OWN)]
    rng.shuffle(operators)
    changed = (mutate_code(text, operator, 0) for operator in operators)
    return next((new for new in changed if new and new != text), text)


def _drop_line(rng: Rng, text: str) -> str:
    lines = text.split("\n")
    del lines[rng.randrange(len(lines))]
    return "\n".join(lines)


def _double_line(rng: Rng, text: str) -> str:
    lines = text.split("\n")
    place = rng.randrange(len(lines))
    return "\n".join([*lines[: place + 1], *lines[place:]])


def _indent(rng: Rng, text: str) -> str:
    lines = text.split("\n")
    place = rng.randrange(len(lines))
    lines[place] = rng.choice([" ", "\t", "        "]) + lines[place].lstrip()
    return "\n".join(lines)


TOKENS = "( ) [ ] { } : , . @ * ** -1 0 1e999 lambda yield await async return del import global None ... \\ ''' % ! ?"


def _token(rng: Rng, text: str) -> str:
    words = text.split(" ")
    words.insert(rng.randrange(len(words)), rng.choice(TOKENS.split()))
    return " ".join(words)


def _character(rng: Rng, text: str) -> str:
    place = rng.randrange(len(text))
    return text[:place] + rng.choice("\x00\u202e\u00a0\ufeffλ𝔵ﬁ٣\x0c\r;\"'") + text[place + rng.randint(0, 1) :]


HOSTILE = """
raise SystemExit
raise KeyboardInterrupt
raise BaseException('x' * 10**6)
import os; os._exit(3)
import os; os.kill(os.getpid(), 11)
import os; os.closerange(0, 99)
import sys; sys.setrecursionlimit(20)
import os; os.fork()
return object()
return 10 ** 5000
return [[]] * 10**6
return float('nan')
return torch.ones(10**8)
return torch.ones(3, 3).to_sparse()
return iter(())
return type
return ...
return lambda *a: a
return {'k': 'tensor'}
return torch.nn.Linear(2, 2)
return 'é\\ud800'
yield 1
return torch.ones(2, 3, dtype=torch.complex64)
x = []; x.append(x); return x
return __import__('os')
import gc; [o.clear() for o in gc.get_objects() if type(o) is dict]
import sys; sys.modules.clear()
import builtins; builtins.__dict__.clear()
del globals()['torch']
import json; json.dumps = None
import threading; threading.Thread(target=lambda: [0 for _ in iter(int, 1)], daemon=True).start()
import signal; signal.raise_signal(9)
assert False, 'é' * 10**5
print('x' * 10**7)
return torch.ones(0)
""".strip().split("\n")


def _hostile(rng: Rng, text: str) -> str:
    """Do something else first."""
    head, _, body = text.partition("\n")
    return f"{head}\n    {rng.choice(HOSTILE)}\n{body}"


def _answers(rng: Rng, depth: int = 0) -> object:
    """What the other side might be told: trees that look like those of the protocol."""
    kinds = "tensor array scalar list tuple set dict size dtype slice range complex ... int same function class module"
    kinds = [*f"{kinds} object import yours theirs frozenset".split(), None, 3, "x"]
    small = [None, 0, -1, 2**62, 2**70, 1.5, True, "x", "float32", "i4", [], [0], [2, 3], [-1], [2**40, 2**40], {}]
    if depth > 3 or rng.random() < 0.3:
        return rng.choice(small)
    keys = rng.sample(["v", "t", "s", "b", "o", "g", "id", "i", "name", "torch", "train"], rng.randint(1, 5))
    return {"k": rng.choice(kinds)} | {key: _answers(rng, depth + 1) for key in keys}


def _head(rng: Rng) -> object:
    keys = [
        "v",
        "error",
        "raised",
        "total",
        "printed",
        "changed",
        "drew",
        "missing",
        "cells",
        "op",
        "f",
        "n",
        "args",
        "kw",
    ]
    head = {key: _answers(rng) for key in rng.sample(keys, rng.randint(0, 4))}
    if rng.random() < 0.3:
        head |= {"op": rng.choice(["call", "vjp", "run", "fetch"]), "f": {"id": 0}, "args": {"k": "tuple", "v": []}}
    if rng.random() < 0.8:
        head["r"] = 1
    blobs = rng.choice([[], [], [], [24], [10**9], [-1], ["x"], None, [0] * 50])
    return rng.choice([head | {"blobs": blobs}] * 9 + [[], 3, "x"])


def _talk(rng: Rng, text: str) -> str:
    """Speak to the checker on its own channel, in its own words or in nobody's."""
    body = json.dumps(_head(rng)).encode()
    length = rng.choice([len(body)] * 6 + [0, 5, 2**31, 2**22 + 1])
    said = (length.to_bytes(4, "big") + body + b"\x00" * 24) * rng.choice([1, 1, 2, 500])
    return (
        f"import os\nsaid = {said!r}\nfor d in range(3, 64):\n    try:\n        os.write(d, said)\n"
        f"    except OSError:\n        pass\n{text}"
    )


def _talk_later(rng: Rng, text: str) -> str:
    """The same, whenever the check calls."""
    head, _, body = text.partition("\n")
    talk = _talk(rng, "").rstrip().replace("\n", "\n    ")
    return f"{head}\n    {talk}\n{body}"


SOURCE_MUTATIONS = (
    *(_operator, _operator, _drop_line, _double_line, _indent, _token, _character, _hostile, _talk, _talk_later),
)


def source(rng: Rng, notebook: dict) -> bytes:
    """Code changed in the cells that are the student's."""
    cells = [cell for cell in notebook["cells"] if cell["metadata"].get("nbgrader", {}).get("solution")]
    for cell in rng.sample(cells, rng.choice([1, 1, 2])):
        text = "".join(cell["source"])
        for _ in range(rng.choice([1, 1, 2])):
            text = rng.choice(SOURCE_MUTATIONS)(rng, text) if text else "\n"
        cell["source"] = [text]
    return _dumped(notebook)


# What hypothesis thinks of.

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
STAMPS = st.fixed_dictionaries(
    {}, optional={"grade_id": st.sampled_from(["double", "test_double", "rows"]) | VALUES, "points": VALUES}
)
METADATA = st.fixed_dictionaries({}, optional={"nbgrader": STAMPS | VALUES, "tags": VALUES | st.just([NOT_FOR_MARKS])})
CELLS = st.fixed_dictionaries(
    {},
    optional={
        "cell_type": st.sampled_from(["code", "markdown", "raw"]) | VALUES,
        "source": st.text() | st.lists(st.text(), max_size=3) | VALUES,
        "metadata": METADATA | VALUES,
        "outputs": VALUES,
    },
)
NOTEBOOKS = st.fixed_dictionaries(
    {"cells": st.lists(CELLS | VALUES, max_size=6) | VALUES}, optional={"nbformat": VALUES}
)
FILES = st.one_of(
    NOTEBOOKS.map(_dumped), NOTEBOOKS.map(_dumped), VALUES.map(_dumped), st.text().map(str.encode), st.binary()
)


def invented(count: int) -> list[bytes]:
    """Files that hypothesis makes; the same ones every time."""
    found: list[bytes] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(FILES)
    def collect(data: bytes) -> None:
        found.append(data)

    collect()
    return found[:count]


# All of them.


@dataclass(frozen=True)
class Case:
    """A file to hand in, and how it came about."""

    number: int
    kind: str
    lesson: str
    data: bytes


def cases(count: int, seed: int = 0) -> Iterator[Case]:
    """`count` cases: 50 % structure, 40 % source, 10 % invented. The same arguments give the same cases."""
    made = invented(count // 10)
    for number in range(count):
        rng = Rng(f"{seed} {number}")
        share = number % 20
        if share < 2 and made:
            yield Case(number, "invented", TINY, made.pop())
            continue
        mutate: Callable[[Rng, dict], bytes] = source if share < 10 else structure
        lesson = WELCOME if share % 3 == 0 and mutate is structure else TINY
        notebook = welcome_lesson() if lesson == WELCOME else tiny_lesson()
        yield Case(number, mutate.__name__, lesson, mutate(rng, notebook))


@dataclass
class Summary:
    """What came of the cases. `wrong` are sentences; there should be none."""

    verdicts: Counter = field(default_factory=Counter)
    exercises: Counter = field(default_factory=Counter)
    times: list[tuple[float, Case]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    grown: dict[str, float] = field(default_factory=dict)  # MiB, of the checker and of the nursery
    deaths: int = 0

    def __str__(self) -> str:
        slowest = sorted(self.times, key=lambda timed: -timed[0])[:5]
        seconds = sum(time for time, _ in self.times)
        lines = [
            f"{len(self.times)} notebooks in {seconds:.0f} s, {1000 * seconds / max(len(self.times), 1):.0f} ms each",
            "submissions: " + ", ".join(f"{n} {verdict}" for verdict, n in self.verdicts.most_common()),
            "exercises:   " + ", ".join(f"{n} {verdict}" for verdict, n in self.exercises.most_common()),
            "slowest:     " + ", ".join(f"{s:.1f} s (no. {c.number}, {c.kind}, {c.lesson})" for s, c in slowest),
            "grown:       " + ", ".join(f"{who} {size:+.0f} MiB" for who, size in self.grown.items()),
            f"the pair died {self.deaths} times; {len(self.wrong)} things wrong",
        ]
        return "\n".join([*lines, *self.wrong])


class Fuzzer:
    """Marks cases with one pair. A pair that dies is noted and replaced."""

    def __init__(self, folder: Path):
        self.paths = lesson_paths(folder)
        self.masters = {slug: read_master(slug, Path(path)) for slug, path in self.paths.items()}
        self.pair = self._start()

    def _start(self) -> Pair:
        return start_pair(self.paths, {TINY: self.paths[TINY]}, **BUDGET)

    def mark(self, case: Case) -> Result:
        self.pair.send("fuzz", case.lesson, "", case.data, seed=case.number, seed_id="")
        return self.pair.receive(seconds=120)

    def run(self, cases: Iterator[Case]) -> Summary:
        summary, before = Summary(), None
        for i, case in enumerate(cases):
            if i == WARM:
                before = self._memory()
            start = time.perf_counter()
            try:
                result = self.mark(case)
            except PairDied as death:
                summary.deaths += 1
                summary.wrong.append(f"{_told(case)}: the pair died: {death}")
                self.pair.kill()
                self.pair, before = self._start(), None
            else:
                summary.verdicts[str(result.verdict)] += 1
                summary.exercises.update(str(exercise.verdict) for exercise in result.exercises)
                summary.wrong += [f"{_told(case)}: {fault}" for fault in faults(result, self.masters[case.lesson])]
            summary.times.append((time.perf_counter() - start, case))
        if before:
            summary.grown = {who: size - before[who] for who, size in self._memory().items()}
        return summary

    def _memory(self) -> dict[str, float]:
        """Resident memory in MiB of the checker, and of the nursery (the process that it started, with its child)."""
        checker = psutil.Process(self.pair.process.pid)
        nursery = sum(process.memory_info().rss for process in checker.children(recursive=True))
        return {"checker": checker.memory_info().rss / 2**20, "nursery": nursery / 2**20}

    def close(self) -> None:
        self.pair.kill()


def _told(case: Case) -> str:
    return f"no. {case.number} ({case.kind}, {case.lesson})"


def faults(result: Result, master: Master) -> list[str]:
    """What is wrong with a result, in sentences."""
    found = []
    wanted, got = [cell.grade_id for cell in master.marked], [exercise.grade_id for exercise in result.exercises]
    if wanted != got:
        found.append(f"expected a verdict for each of {wanted}, got {got}")
    if result.faulty:
        found.append("a fault of the grader")
    for exercise in result.exercises:
        if exercise.points is None or not 0 <= exercise.points <= exercise.max_points:
            found.append(f"{exercise.grade_id} has {exercise.points} of {exercise.max_points} points")
        if (
            exercise.verdict not in (Verdict.PASSED, Verdict.PARTLY, Verdict.TIMED_OUT, Verdict.ERROR)
            and exercise.points
        ):
            found.append(f"{exercise.grade_id} is {exercise.verdict} and has {exercise.points} points")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the referee and print a summary.")
    parser.add_argument("count", type=int, nargs="?", default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given_ = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder))
        try:
            summary = fuzzer.run(cases(given_.count, given_.seed))
        finally:
            fuzzer.close()
    print(summary)
    sys.exit(1 if summary.wrong else 0)


if __name__ == "__main__":
    main()
