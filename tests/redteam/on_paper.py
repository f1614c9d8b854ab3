# ruff: noqa: E501  the student's code stands here as text
"""Attacks by the file that is handed in, by names, and by what staff and other programs read afterwards."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import re
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat

from grader.books import export
from grader.books.autograded import Release
from grader.books.autograded import notebook as autograded_notebook
from grader.books.errors import GraderError
from grader.books.journal import Journal
from grader.folder import Folder
from grader.pages.feedback import feedback_page, write_feedback
from grader.pages.report import report_page
from grader.pages.similar import similar
from grader.receive import Received, Rejected, note, scan
from grader.referee.result import Result, Verdict
from tests.redteam import plain_lesson
from tests.redteam.case import Case, Look, Threat, altered, own_cell, plain
from tests.redteam.plain_lesson import EVENS_POINTS, FULL, RIGHT, SLUG

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\x08"


def nbgrader(cell: dict) -> dict:
    return cell["metadata"].get("nbgrader", {})


def tests_of(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if nbgrader(cell).get("grade")]


def edited(name: str, change, right: bool = True, fair: float = FULL) -> Case:
    return Case(name, altered(plain(answers=RIGHT if right else plain_lesson.WRONG), change), fair)


def _each(chosen, do):
    """Do something to every cell that is chosen."""

    def change(notebook: dict) -> None:
        for cell in chosen(notebook):
            do(cell)

    return change


def _stamp(**values):
    return lambda cell: cell["metadata"]["nbgrader"].update(values)


def _answer(name: str):
    return lambda notebook: [cell for cell in notebook["cells"] if nbgrader(cell).get("grade_id") == name]


def _copied(notebook: dict) -> None:
    notebook["cells"] += [dict(cell) for cell in tests_of(notebook)] * 2


def _deleted(notebook: dict) -> None:
    notebook["cells"] = [cell for cell in notebook["cells"] if not nbgrader(cell).get("locked")]


def _with_answer_twice(notebook: dict) -> None:
    second = json.loads(json.dumps(_answer("evens")(notebook)[0]))
    notebook["cells"].insert(0, second)
    second["source"] = RIGHT["evens"]


def unreadable(name: str, data: bytes, seconds: float = 8.0) -> Case:
    def told(ground, result: Result) -> None:
        assert result.verdict is Verdict.UNREADABLE, f"the verdict is {result.verdict}"
        assert result.notes and all(len(n) < 500 for n in result.notes), "no reason is given"

    return Case(f"unreadable: {name}", lambda ground: data, 0, (Verdict.UNREADABLE,), seconds, look=told)


def cells_of(cells) -> bytes:
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode()


def _strange(notebook: dict) -> None:
    """Things that no notebook should hold, around a right one."""
    notebook["metadata"] = ["none"]
    notebook["cells"] += [None, 7, [], {}, {"cell_type": "code"}, {"cell_type": 5, "source": {}, "metadata": []}]
    notebook["cells"] += [{"cell_type": "code", "source": [1, None, "x = 1"], "metadata": {"nbgrader": [], "tags": 3}}]
    notebook["cells"] += [own_cell("x = '\ud800'"), own_cell("\x00"), own_cell("def ("), own_cell("(" * 5000)]
    notebook["cells"] += [{"cell_type": "code", "source": "", "metadata": {"nbgrader": {"grade_id": {"a": 1}}}}]


def _chain(notebook: dict) -> None:
    """Left-out cells, each asked for by a function in the one before, and a great many names."""
    tag = {"metadata": {"tags": ["not-for-marks"]}, "cell_type": "code"}
    many = "def many():\n    " + "\n    ".join(f"a{n}" for n in range(18_000))
    links = [tag | {"source": f"def f{n}():\n    f{n + 1}()"} for n in reversed(range(1500))]
    notebook["cells"] += [*links, own_cell(many), own_cell("def first():\n    f0()")]


# Names and files, as they lie in submitted/.


class _Course:
    def __init__(self) -> None:
        self._removed_at_the_end = tempfile.TemporaryDirectory(prefix="redteam-course-")
        self.root = Path(self._removed_at_the_end.name)
        self.folder = Folder(self.root)
        self.folder.submitted.mkdir()

    def hand_in(self, student: str, data: bytes = b"{}", lesson: str = SLUG) -> Path:
        path = self.folder.submitted / student / lesson / f"{lesson}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def received(self) -> list[Received]:
        return [found for found in scan(self.folder, [SLUG]) if isinstance(found, Received)]

    def rejected(self) -> list[Rejected]:
        return [found for found in scan(self.folder, [SLUG]) if isinstance(found, Rejected)]

    def kept(self) -> list[bytes]:
        return [path.read_bytes() for path in (self.folder.grading / "received").glob("*")]


def _paths_in_names(ground) -> None:
    course = _Course()
    for name in ("ann", "a\nb", "-rf", "x.", "x ", "a\\b", "~root", "$HOME", "a;b", "x" * 65, "a\x1b[2J", "*", "=1+1"):
        course.hand_in(name)
    names = {found.student for found in course.received()}
    assert names == {"ann"}, f"received: {names}"
    for name in ("../other", "a/b", "..", ""):
        result = Result(name, SLUG, "0" * 64, Verdict.FAILED)
        for write in (lambda r=result: write_feedback(r, course.root / "feedback"),):
            try:
                write()
            except (ValueError, GraderError):
                continue
            raise AssertionError(f"a page was written for {name!r}")


def _links(ground) -> None:
    course = _Course()
    target = ground.course / "gradebook.db"
    for student, depth in (("ann", 0), ("bob", 1), ("cyd", 2)):
        parts = [course.folder.submitted, student, SLUG, f"{SLUG}.ipynb"]
        path = Path(*parts[: depth + 2])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target if depth == 2 else ground.course / "submitted" / "other" / ("" if depth == 0 else SLUG))
    fifo = course.hand_in("fay")
    fifo.unlink()
    os.mkfifo(fifo)
    folder = course.hand_in("gus")
    folder.unlink()
    folder.mkdir()
    course.hand_in("zoe")
    assert [found.student for found in course.received()] == ["zoe"], f"received: {course.received()}"
    assert {"ann", "bob", "cyd", "fay", "gus"} == {found.where.split("/")[1] for found in course.rejected()}
    secrets = [data for data in course.kept() if b"RT-" in data]
    assert not secrets, "a linked file was copied"


def _unicode_twins(ground) -> None:
    course = _Course()
    for name in (
        "ann",
        "\uff41nn",
        "Bob",
        "bob",
        "stra\u00dfe",
        "strasse",
        "e\u0301va",
        "zo\u200be",
        "\u202eann",
        "\ufb01n",
    ):
        course.hand_in(name)
    names = {found.student for found in course.received()}
    assert names <= {"ann"}, f"received although they look alike: {names}"


def _sizes(ground) -> None:
    course = _Course()
    path = course.hand_in("ann")
    os.truncate(path, 5 << 30)  # a hole of 5 GB
    (found,) = course.received()
    assert found.too_large and not course.kept(), "a file over the limit was kept"


def _time_stamps(ground) -> None:
    course = _Course()
    path = course.hand_in("ann")
    (path.parent / "timestamp.txt").write_text("2001-01-01 00:00:00.000000 UTC")
    os.utime(path, (10**9, 10**9))
    (found,) = course.received()
    with Journal(course.root / "journal.db") as journal:
        entry = journal.entry(note(journal, found, "tests", "environment", "seed"))
    late = datetime.now(UTC) - datetime.fromisoformat(entry.received_at).astimezone(UTC)
    assert abs(late) < timedelta(minutes=5), f"handed in at {entry.received_at}, says the journal"


def _swapped(ground) -> None:
    course = _Course()
    path = course.hand_in("ann", b'{"first": 1}')
    (found,) = course.received()
    path.write_bytes(b'{"second": 2}')
    kept = course.folder.received(found.submission).read_bytes()
    assert kept == b'{"first": 1}' and hashlib.sha256(kept).hexdigest() == found.submission


def _formulas(ground) -> None:
    names = ("=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "\uff1d1", "\n=1")
    rows = [export.Row(SLUG, None, None, name, name, name, name, name, 1.0, 0.0, 2.0) for name in names]
    with tempfile.TemporaryDirectory() as folder:
        for write in (export.to_nbgrader_csv, export.to_canvas_csv, export.to_moodle_csv):
            path = Path(folder) / "marks.csv"
            write(rows, path)
            with open(path, newline="", encoding="utf-8") as file:
                cells = [cell for row in csv.reader(file) for cell in row]
            formulas = [cell for cell in cells if cell.startswith(export.FORMULA)]
            assert not formulas, f"{write.__name__} wrote {formulas}"


def _alike(ground) -> None:
    mine = RIGHT["attention"] + RIGHT["Head"] + RIGHT["words"] + RIGHT["evens"]
    renamed = mine
    for old, new in (("query", "q_in"), ("key", "k_in"), ("value", "v_in"), ("tokens", "seq"), ("count", "many")):
        renamed = re.sub(rf"\b{old}\b", new, renamed)
    other = "\n".join(
        f"z{n} = {random.Random(n).random():.3f} ** {n}\nfor i in [z{n}]:\n    print(i, {n})" for n in range(12)
    )
    pairs = similar({"ann": {"e": mine}, "bob": {"e": "# my own\n" + renamed}, "cyd": {"e": other}}, {}, {})
    assert pairs and {pairs[0].left, pairs[0].right} == {"ann", "bob"}, f"not found: {pairs}"
    assert all("cyd" not in (pair.left, pair.right) for pair in pairs), "one's own work was called a copy"


def _harmless(ground, result: Result) -> None:
    release = Release(ground.lessons[SLUG][0])
    texts = [feedback_page(result), report_page([result]), nbformat.v4.writes(autograded_notebook(result, release))]
    for text in texts[:2]:
        assert "<script" not in text and "onerror=alert(2)>" not in text, "markup came through"
        assert "default-src 'none'" in text
    for text in texts:
        assert not set("\x1b\x07\x9b\x08") & set(text), "control characters came through"
    prose = [cell.source for cell in nbformat.reads(texts[2], 4).cells if cell.cell_type == "markdown"]
    assert not any(line.startswith("<script") for text in prose for line in _outside_fences(text)), "markup in prose"


def _outside_fences(text: str) -> list[str]:
    lines, fence = [], ""
    for line in text.splitlines():
        start = re.match(r"(`{3,}|~{3,})", line)
        if start and (not fence or line.startswith(fence)):
            fence = "" if fence else start[1]
        elif not fence:
            lines.append(line)
    return lines


def _same_for_both(ground) -> None:
    """Failing at the first hidden value or at the last looks the same to the student."""
    seen = []
    for wrong in ("1", "9"):
        text = f"def evens(count):\n    return [2 * i for i in range(count)] if count != {wrong} else []\n"
        result = ground.mark(plain(evens=text)(ground))
        page = feedback_page(result)
        seen.append(re.sub(r"[0-9a-f]{12}…|count != \d", "", page))
    assert seen[0] == seen[1], "the page tells which hidden value failed"


def _deterministic(ground) -> None:
    text = "import random\ndef words(text):\n    a, b = random.random(), float(torch.rand(1))\n"
    text += "    c = float(np.random.rand())\n    return len(text.split()) if a + b + c < 1.5 else -1\n"
    told = [ground.mark(plain(words=text)(ground)) for _ in range(3)]
    assert len({result.points for result in told}) == 1, f"three times the same file: {[r.points for r in told]}"


NOISE = """
import logging, sys, warnings
warnings.warn("deprecated")
logging.warning("careful")
old = attention
def attention(query, key, value):
    warnings.warn("again")
    logging.error("loud")
    print("to stderr", file=sys.stderr)
    os.write(2, b"to the descriptor")
    return old(query, key, value)
import os
"""
ON_PAPER = (
    Threat(35, "hidden results bit by bit", (Look("which value failed is not told", _same_for_both),)),
    Threat(
        38,
        "edit the test cells",
        (
            edited("tests that pass", _each(tests_of, lambda cell: cell.update(source="12.0")), right=False, fair=0),
            edited("tests that fail", _each(tests_of, lambda cell: cell.update(source="assert False"))),
            edited(
                "helpers that pass",
                _each(_answer("close"), lambda cell: cell.update(source="close = lambda *a: True")),
                right=False,
                fair=0,
            ),
        ),
    ),
    Threat(
        39,
        "delete the test cells",
        (edited("a wrong one without", _deleted, right=False, fair=0), edited("a right one without", _deleted)),
    ),
    Threat(
        40,
        "copy a test cell",
        (
            edited("three of each", _copied),
            edited("three of each, wrong", _copied, right=False, fair=0),
            edited("an answer twice, the second right", _with_answer_twice),
        ),
    ),
    Threat(
        41,
        "change points or flags",
        (
            edited("a thousand points", _each(tests_of, _stamp(points=1000)), right=False, fair=0),
            edited("points below zero", _each(tests_of, _stamp(points=-1))),
            edited("not a test, not locked", _each(tests_of, _stamp(grade=False, locked=False, solution=True))),
            edited("every cell is a test", _each(lambda n: n["cells"][1:], _stamp(grade=True, locked=True))),
            edited("no grade_id at all", _each(lambda n: n["cells"], lambda cell: cell["metadata"].clear())),
            edited("no grade_id at all, wrong", _each(lambda n: n["cells"], lambda c: c["metadata"].clear()), False, 0),
            edited("a schema of the past", _each(lambda n: n["cells"][1:], _stamp(schema_version=1))),
            edited("a test under an answer's name", _each(tests_of, _stamp(grade_id="evens")), right=False, fair=0),
            edited(
                "an answer under a test's name",
                _each(_answer("evens"), _stamp(grade_id="test_evens")),
                fair=FULL - EVENS_POINTS,
            ),
            edited(
                "an answer turned to prose",
                _each(_answer("evens"), lambda c: c.update(cell_type="markdown")),
                fair=FULL - EVENS_POINTS,
            ),
            edited("tests turned to prose", _each(tests_of, lambda cell: cell.update(cell_type="markdown"))),
        ),
    ),
    Threat(
        42,
        "another kernel",
        tuple(
            edited(f"kernel {name}", lambda n, spec=spec: n.update(metadata=spec))
            for name, spec in {
                "R": {"kernelspec": {"name": "ir", "language": "R"}, "language_info": {"name": "R"}},
                "a command": {"kernelspec": {"name": "; touch /tmp/rt-left-kernel", "argv": ["sh"]}},
                "none": {},
            }.items()
        ),
    ),
    Threat(
        43,
        "malformed notebook",
        (
            unreadable("nothing", b""),
            unreadable("no JSON", b"\x00\xff\xfe"),
            unreadable("a list", b"[]"),
            unreadable("no cells", b"{}"),
            unreadable("cells are text", b'{"cells": "print(1)"}'),
            unreadable("half a file", cells_of([own_cell("x = 1")] * 50)[:2000]),
            unreadable("format 3", b'{"nbformat": 3, "worksheets": [{"cells": []}]}'),
            unreadable("100 000 levels", b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
            unreadable("a number of a million digits", b'{"cells": ' + b"9" * 1_000_000 + b"}"),
            unreadable("a million empty cells", cells_of([{}] * 1_000_000)),
            unreadable("UTF-16", "{}".encode("utf-16")),
            Case("strange things around a right one", altered(plain(answers=RIGHT), _strange), FULL),
            Case(
                "a mark at its beginning",
                altered(plain(answers=RIGHT), lambda n: b"\xef\xbb\xbf" + json.dumps(n).encode()),
                FULL,
            ),
            Case("an empty notebook", lambda ground: cells_of([]), 0),
        ),
    ),
    Threat(
        44,
        "gigantic notebook",
        (
            Look("over the limit, with a hole of 5 GB", _sizes),
            unreadable("6 MB of source", cells_of([own_cell("# " + "x" * 190_000) for _ in range(32)])),
            Case(
                "40 MB of outputs in a right one",
                altered(
                    plain(answers=RIGHT), lambda n: n["cells"].append(own_cell("1") | {"outputs": ["x" * (40 << 20)]})
                ),
                FULL,
            ),
            Case("names without end", altered(plain(answers=RIGHT), _chain), FULL, seconds=14.0),
        ),
    ),
    Threat(45, "a path in a name", (Look("names of students", _paths_in_names),)),
    Threat(46, "symbolic links", (Look("links, pipes, folders", _links),)),
    Threat(47, "look-alike names", (Look("twins by case and by form", _unicode_twins),)),
    Threat(
        52,
        "script or HTML for staff",
        (
            Case(
                "in code, prose, names of errors and what is printed",
                altered(
                    plain(
                        f"print({MARKUP!r})\n",
                        words=f"{MARKUP!r}\ndef words(text):\n    print({MARKUP!r})\n    raise type({MARKUP!r}, (Exception,), {{}})({MARKUP!r})\n",
                        last=f"raise type({MARKUP!r}, (Exception,), {{}})({MARKUP!r})\n",
                    ),
                    lambda n: n["cells"].append(own_cell(f"{MARKUP}\n\n```\n{MARKUP}\n````\n{MARKUP}", "markdown")),
                ),
                0,
                look=_harmless,
            ),
        ),
    ),
    Threat(
        53,
        "terminal escape codes",
        (
            Case(
                "in code, names of errors and what is printed",
                plain(
                    f"print({ESCAPES!r})\n",
                    words=f"# {ESCAPES.replace(chr(13), '')}\ndef words(text):\n    print({ESCAPES!r})\n    raise type({ESCAPES!r}, (Exception,), {{}})({ESCAPES!r})\n",
                    last=f"raise type({ESCAPES!r}, (Exception,), {{}})({ESCAPES!r})\n",
                ),
                0,
                look=_harmless,
            ),
        ),
    ),
    Threat(54, "CSV formula injection", (Look("names that are formulas, three exports", _formulas),)),
    Threat(
        55,
        "innocent warnings on stderr",
        (Case("warnings, logs, stderr", plain(NOISE, answers=RIGHT), FULL),),
    ),
    Threat(
        56,
        "harmless nondeterminism",
        (
            Look("the same file, three times", _deterministic),
            Case(
                "noise far below the tolerance",
                plain(
                    "old = attention\ndef attention(q, k, v):\n    return old(q, k, v) + 1e-7 * torch.randn(1)\n",
                    answers=RIGHT,
                ),
                FULL,
            ),
        ),
    ),
    Threat(57, "forged time stamps", (Look("timestamp.txt and the file's own time", _time_stamps),)),
    Threat(58, "swap after collection", (Look("written over after it was received", _swapped),)),
    Threat(59, "share a solution", (Look("names changed, found all the same", _alike),)),
)
