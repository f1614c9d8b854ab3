"""The thirty of the class: a made-up id, what they did, and the code that does it to a solved lesson."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from grader.sample.draft import Draft
from grader.tags import NOT_FOR_MARKS


@dataclass(frozen=True)
class Student:
    """`hands_in` changes a draft of the solved lesson, or returns the bytes that are handed in in its place."""

    id: str
    says: str
    hands_in: Callable[[Draft], bytes | None]


def _nothing_changed(draft: Draft) -> None:
    """The solution."""


def _other_way(place: int) -> Callable[[Draft], None]:
    def write(draft: Draft) -> None:
        for exercise in draft.exercises:
            draft.right(exercise, place)

    return write


def _helper_elsewhere(draft: Draft) -> None:
    draft.insert(draft.place(draft.main), "def passed_on(value):\n    return value", tags=(NOT_FOR_MARKS,))
    draft.before("passed_on(None)")


def _unicode_names(draft: Draft) -> None:
    draft.rename(lambda i, old: "αβγδεζηθικλμ"[i] + "_größe_重み")
    draft.insert(len(draft.cells), "# 好 ✓ \N{PILE OF POO}\nprint('Ça marche, Zoë: \N{GRINNING FACE}')")


def _named_mistakes(**names: str) -> Callable[[Draft], None]:
    """These mistakes, in those of the exercises that the lesson has."""

    def write(draft: Draft) -> None:
        for exercise in names.keys() & draft.exercises.keys():
            draft.mistake(exercise, draft.named(exercise, names[exercise]))

    return write


def _every_mistake(place: int) -> Callable[[Draft], None]:
    """The mistake at this place of the bank, in every exercise."""

    def write(draft: Draft) -> None:
        for name, exercise in draft.exercises.items():
            draft.mistake(name, exercise.mistakes[place % len(exercise.mistakes)])

    return write


def _two_at_once(draft: Draft) -> None:
    pair = {"softmax": ("temperature ignored", "over the first axis"), "attention": ("no scale", "mask upside down")}
    draft.mistake(draft.main, *(draft.named(draft.main, name) for name in pair[draft.main]))


def _half(draft: Draft) -> None:
    for exercise in list(draft.exercises)[len(draft.exercises) // 2 :]:
        draft.stub(exercise)


def _none(draft: Draft) -> None:
    for exercise in draft.exercises:
        draft.stub(exercise)


def _typing_errors(draft: Draft) -> None:
    first, second, *_ = draft.exercises
    draft.write(first, draft.text(first).replace("return ", "return retrun_", 1))
    draft.write(second, draft.text(second).replace(":", "", 1))


def _cells_deleted(draft: Draft) -> None:
    last = list(draft.exercises)[-1]
    for gone in (f"check_{draft.main}", last):
        draft.cells.remove(draft.cell(gone))


def _cells_copied(draft: Draft) -> None:
    for twice in (draft.main, f"check_{draft.main}"):
        for _ in range(2):
            draft.cells.insert(draft.place(twice), json.loads(json.dumps(draft.cell(twice))))


def _check_edited(draft: Draft) -> None:
    for exercise in draft.exercises:
        draft.stub(exercise)
        check = draft.cell(f"check_{exercise}")
        check["metadata"]["nbgrader"]["points"] = 1000
        check["source"] = ["1000.0"]


def _stderr(draft: Draft) -> None:
    noise = "print('not an error', file=sys.stderr); warnings.warn('nor is this')"
    draft.insert(1, f"import sys, warnings\n{noise}")
    draft.before(noise)


def _prints(draft: Draft) -> None:
    draft.insert(draft.place(draft.main), "print('0123456789' * 524_288)")
    draft.before("print('x' * 100_000)")


def _not_a_notebook(draft: Draft) -> bytes:
    """A Word file under the notebook's name; or the notebook, half uploaded."""
    whole = draft.to_bytes()
    return (
        b"PK\x03\x04\x14\x00\x06\x00" + bytes(range(256)) * 8 if draft.main == "softmax" else whole[: len(whole) // 2]
    )


def _empty_or_old(draft: Draft) -> bytes:
    """An empty file; or the notebook in format 3."""
    if draft.main == "softmax":
        return b""
    cells = [
        {"cell_type": "code", "language": "python", "collapsed": False, "outputs": [], "input": cell["source"]}
        for cell in draft.cells
        if cell["cell_type"] == "code"
    ]
    old = {"metadata": {"name": ""}, "nbformat": 3, "nbformat_minor": 0, "worksheets": [{"cells": cells}]}
    return json.dumps(old).encode()


LIBRARY = {
    "softmax": "def softmax(scores, temperature=1.0):\n    return torch.softmax(scores / temperature, dim=-1)\n",
    "attention": (
        "def attention(query, key, value, mask=None):\n"
        "    ones = torch.eye(key.shape[-2], dtype=value.dtype).expand(*key.shape[:-1], key.shape[-2])\n"
        "    output = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)\n"
        "    return output, torch.nn.functional.scaled_dot_product_attention(query, key, ones, mask)\n"
    ),
}


def _library(draft: Draft) -> None:
    draft.write(draft.main, LIBRARY[draft.main])


MARKUP = (
    "# Dear grader <script>alert(document.domain)</script>\n"
    '<img src="x" onerror="alert(1)"> <iframe src="javascript:alert(2)"></iframe> [me](javascript:alert(3))\n'
    "</pre></body></html><style>body{display:none}</style> $\\href{javascript:alert(4)}{x}$\n"
)


def _markup(draft: Draft) -> None:
    """Script wherever text can stand: in prose, in what an exercise prints and raises, and in the metadata."""
    draft.insert(1, MARKUP, kind="markdown")
    draft.stub(draft.main)
    draft.before(f"print({MARKUP!r}); raise ValueError({MARKUP!r})")
    draft.notebook["metadata"]["title"] = MARKUP
    output = {"output_type": "display_data", "metadata": {}, "data": {"text/html": [MARKUP]}}
    draft.cell(draft.main)["outputs"] = [output]


def _out(draft: Draft) -> None:
    """Asks other machines for the answer, and looks for it in the files of this one."""
    draft.insert(
        1,
        "import glob, os, socket, urllib.request\n"
        "found = []\n"
        "for reach in (\n"
        "    lambda: urllib.request.urlopen('http://127.0.0.1:8000/answers', timeout=1).read(),\n"
        "    lambda: socket.create_connection(('192.0.2.1', 443), timeout=1),\n"
        "    lambda: socket.getaddrinfo('example.org', 80),\n"
        "    lambda: [open(path).read() for path in glob.glob('/*/*/solutions/*/*.ipynb')],\n"
        "    lambda: __import__('attnlab.reference.attention'),\n"
        "):\n"
        "    try:\n"
        "        found.append(reach())\n"
        "    except Exception:\n"
        "        pass\n",
    )
    draft.stub(draft.main)
    draft.before("raise LookupError(f'{len([f for f in found if f])} found')")


def _patches(draft: Draft) -> None:
    """Makes every comparison come out true, here and (as they hope) where the check runs."""
    draft.insert(
        1,
        "import sys\nimport torch\n\n"
        "torch.allclose = torch.equal = lambda *_, **__: True\n"
        "torch.Tensor.__eq__ = torch.Tensor.__le__ = lambda self, other: torch.ones_like(self).bool()\n"
        "check.__class__.__call__ = lambda *_, **__: 1000.0\n"
        "for name in [name for name in sys.modules if name.startswith('attnlab')]:\n"
        "    sys.modules[name] = None\n",
    )
    for exercise in draft.exercises:
        draft.mistake(exercise, draft.exercises[exercise].mistakes[0])


def _copied(draft: Draft) -> None:
    """What kim_a wrote, with other names for the variables."""
    _other_way(1)(draft)
    draft.rename(lambda i, old: f"{old}_{i + 1}")


CLASS = (
    Student("ada_l", "right: the solution", _nothing_changed),
    Student("bo_k", "right, in other ways", _other_way(0)),
    Student("cy_m", "right, in yet other ways", _other_way(4)),
    Student("di_n", "right, with a helper in an experiment's cell that no mark needs otherwise", _helper_elsewhere),
    Student("ed_p", "right, with names in Greek, German and Chinese", _unicode_names),
    Student("kim_a", "right, in own words; dot_t copied them", _other_way(1)),
    Student("dot_t", "copied from kim_a, the variables renamed", _copied),
    Student(
        "flo_r",
        "lesson 00: ignored the temperature; 05: forgot to scale",
        _named_mistakes(softmax="temperature ignored", attention="no scale"),
    ),
    Student(
        "gus_t",
        "softmax over the wrong axis",
        _named_mistakes(softmax="over the first axis", attention="softmax over queries"),
    ),
    Student("lou_u", "two mistakes at once in one exercise", _two_at_once),
    Student("hal_v", "the bank's 1st mistake in every exercise", _every_mistake(0)),
    Student("ida_w", "the bank's 5th mistake in every exercise", _every_mistake(4)),
    Student("jo_x", "the bank's 9th mistake in every exercise", _every_mistake(8)),
    Student("lea_b", "wrote the first half", _half),
    Student("mo_c", "wrote nothing", _none),
    Student("nia_d", "a name misspelt in one exercise, no colon in another", _typing_errors),
    Student("pat_f", "deleted a check's cell and an exercise's cell", _cells_deleted),
    Student("quin_g", "copied an exercise's cell and its check twice", _cells_copied),
    Student("ria_h", "wrote nothing, and edited the checks: 1,000 points each", _check_edited),
    Student("sam_i", "right, with warnings and noise on stderr", _stderr),
    Student("tia_j", "right, and prints 5 MB", _prints),
    Student("uli_k", "a loop without end in one exercise", lambda draft: draft.before("while True: pass")),
    Student("vi_l", "os._exit in one exercise", lambda draft: draft.before("import os; os._exit(0)")),
    Student(
        "wes_m",
        "asks for 1 TB in pieces in one exercise",
        lambda draft: draft.before("hoard = [bytearray(b'x' * (1 << 26)) for _ in range(1 << 14)]"),
    ),
    Student("xan_n", "lesson 00: a file that is no notebook; 05: half a notebook", _not_a_notebook),
    Student("yan_o", "lesson 00: an empty file; 05: a notebook of format 3", _empty_or_old),
    Student("zoe_p", "calls the library's own function (a shortcut)", _library),
    Student("abe_q", "script and HTML in prose, in output, in an error's message", _markup),
    Student("bea_r", "looks for the answers in files and on the network", _out),
    Student("cal_s", "patches torch and attnlab, so that every comparison comes out true", _patches),
)
