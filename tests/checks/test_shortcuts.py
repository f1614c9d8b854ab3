"""Library shortcuts: found where the exercise's own code takes them, nowhere else, in practice as in marking."""

import ast
import importlib
import linecache
import os
import re
import time
from pathlib import Path

import jupytext
import pytest
from IPython.core.interactiveshell import InteractiveShell

from attnlab.checks import lessons, notebook
from attnlab.checks.report import Report
from attnlab.checks.shortcuts import ATTENTION, SOFTMAX, find_shortcuts, judged_elsewhere, policy, shortcuts_of

ROOT = Path(__file__).parents[2]
os.environ.setdefault("KERAS_BACKEND", "torch")  # or keras, whose layers some exercises name, asks for tensorflow
LESSONS = {lesson.module: lesson for lesson in lessons()}
EXERCISES = [exercise for lesson in LESSONS.values() for exercise in lesson.exercises.values()]
each_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.full_name)
welcome, self_attention = LESSONS["welcome"], LESSONS["self_attention"]
SDPA = "torch.nn.functional.scaled_dot_product_attention"
F_SOFTMAX, METHOD = "torch.nn.functional.softmax", "torch.Tensor.softmax"

# how -> (the code, whose exercise is called f; what is found). These run, so that they are read in both ways.
TAKEN = {
    "by the module": ("import torch\ndef f(x): return torch.softmax(x, -1)", "torch.softmax"),
    "an alias of the module": ("import torch.nn.functional as F\ndef f(x): return F.softmax(x, -1)", F_SOFTMAX),
    "another name of torch": ("import torch\nt = torch\ndef f(x): return t.nn.functional.softmax(x, -1)", F_SOFTMAX),
    "an alias of the function": (
        "from torch.nn.functional import scaled_dot_product_attention as s\ndef f(x): return s(x, x, x)",
        SDPA,
    ),
    "an assigned name": (
        "import torch.nn.functional as F\nsdpa = F.scaled_dot_product_attention\ndef f(x): return sdpa(x, x, x)",
        SDPA,
    ),
    "two names at once": ("import torch\na, b = torch.exp, torch.softmax\ndef f(x): return b(x, -1)", "torch.softmax"),
    "a star": ("from torch.nn.functional import *\ndef f(x): return softmax(x, -1)", F_SOFTMAX),
    "getattr": ('import torch\ndef f(x): return getattr(torch, "softmax")(x, -1)', "torch.softmax"),
    "getattr of a tensor": ('def f(x): return getattr(x, "softmax")(-1)', METHOD),
    "the private name": ("import torch\ndef f(x): return torch._C._nn.scaled_dot_product_attention(x, x, x)", SDPA),
    "the operator": ("import torch\ndef f(x): return torch.ops.aten.scaled_dot_product_attention(x, x, x)", SDPA),
    "the operator behind it": (
        "import torch\ndef f(x): return torch._scaled_dot_product_attention_math(x, x, x)[0]",
        SDPA,
    ),
    "an operator of torch.ops": ("import torch\ndef f(x): return torch.ops.aten._softmax.default(x, -1, False)", None),
    "a method": ("def f(x): return (x / 3).softmax(-1)", METHOD),
    "a method of a call": ("import torch\ndef f(x): return torch.exp(x).softmax(-1)", METHOD),
    "a method kept first": ("def f(x):\n    s = x.softmax\n    return s(-1)", METHOD),
    "the method of the class": ("from torch import Tensor\ndef f(x): return Tensor.softmax(x, -1)", METHOD),
    "a layer": ("from torch import nn\ndef f(x): return nn.Softmax(-1)(x)", "torch.nn.Softmax"),
    "a layer made before": ("from torch import nn\ns = nn.Softmax(-1)\ndef f(x): return s(x)", "torch.nn.Softmax"),
    "a layer's own module": (
        "from torch.nn.modules.activation import Softmax as S\ndef f(x): return S(-1)(x)",
        "torch.nn.Softmax",
    ),
    "a layer in a class": (
        "from torch import nn\nclass f(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.inner = nn.MultiheadAttention(4, 1)\n    def forward(self, x): return self.inner(x, x, x)",
        "torch.nn.MultiheadAttention",
    ),
    "a base class": ("from torch import nn\nclass f(nn.MultiheadAttention):\n    def g(self): ...", None),
    "a base class with a layer": (
        "from torch import nn\nclass Base(nn.Module):\n    def forward(self, x): return x.softmax(-1)\n"
        "class f(Base):\n    def g(self): ...",
        METHOD,
    ),
    "a helper": ("import torch\ndef h(x): return torch.softmax(x, -1)\ndef f(x): return h(x)", "torch.softmax"),
    "a helper's helper": (
        "import torch\ndef g(x): return torch.softmax(x, -1)\ndef h(x): return g(x)\ndef f(x): return h(x)",
        "torch.softmax",
    ),
    "a helper class": ("class H:\n    def s(self, x): return x.softmax(-1)\ndef f(x): return H().s(x)", METHOD),
    "a helper that is made": (
        "import torch\ndef make():\n    s = torch.softmax\n    def f(x): return s(x, -1)\n    return f\nf = make()",
        "torch.softmax",
    ),
    "partial": (
        "import functools, torch\nsm = functools.partial(torch.softmax, dim=-1)\ndef f(x): return sm(x)",
        "torch.softmax",
    ),
    "a table": ('import torch\nT = {"s": torch.softmax}\ndef f(x): return T["s"](x, -1)', "torch.softmax"),
    "a lambda": ("import torch\nf = lambda x: torch.softmax(x, -1)", "torch.softmax"),
    "the second lambda of a line": ("import torch\ng, f = (lambda x: x), (lambda x: torch.softmax(x, -1))", None),
    "nothing but a name": ("import torch\nf = torch.softmax", "torch.softmax"),
    "nothing but a partial": ("import functools, torch\nf = functools.partial(torch.softmax, dim=-1)", None),
    "a default": ("import torch\ndef f(x, s=torch.softmax): return s(x, -1)", "torch.softmax"),
    "an import inside": ("def f(x):\n    import torch.nn.functional as G\n    return [G.softmax(r) for r in x]", None),
    "an import that is tried": (
        "try:\n    from torch.nn.functional import softmax as s\nexcept ImportError:\n    s = None\n"
        "async def f(x): return s(x, -1)",
        F_SOFTMAX,
    ),
    "a decorated function": (
        "import torch\n@torch.no_grad()\ndef f(x):\n    return torch.softmax(x, -1)",
        "torch.softmax",
    ),
    "its logarithm": ("def f(x): return x.log_softmax(-1).exp()", "torch.Tensor.log_softmax"),
    "the answer": (
        "from attnlab.reference.attention import attention\ndef f(x): return attention(x, x, x)",
        "attnlab.reference.attention.attention",
    ),
    "the answer, under another name": ("from attnlab.reference.softmax import softmax as f", None),
    "the answer in the check": (
        "from attnlab.checks.welcome import check\ndef f(x): return check.softmax.answer(x)",
        None,
    ),
}
NOT_TAKEN = {
    "a docstring": 'def f(x):\n    """torch.softmax(x), or x.softmax(-1)"""\n    return x',
    "a comment": "def f(x):\n    # x.softmax(-1) would do it\n    return x",
    "a string": "def f(x):\n    return 'x.softmax(-1)'",
    "a variable of that name": "def f(x):\n    softmax = x.exp()\n    return softmax / softmax.sum()",
    "an argument of that name": "def f(x, softmax): return softmax(x)",
    "an attribute that is not called": "def f(x): return x.softmax",
    "a function of that name": (
        "from torch.nn.functional import softmax\ndef softmax(x): return softmax(x[1:]) if len(x) else x\nf = softmax"
    ),
    "a method of that name": "class M:\n    def softmax(self, x): return x\nm = M()\ndef f(x): return m.softmax(x)",
    "a method of that name, made inside": (
        "class M:\n    def softmax(self, x): return x\ndef f(x):\n    m = M()\n    return m.softmax(x) + M().softmax(x)"
    ),
    "a method of that name, by default": (
        "class M:\n    def softmax(self, x): return x\ndef f(x, m=M()): return m.softmax(x)"
    ),
    "a method of its own": (
        "from torch import nn\nclass f(nn.Module):\n    def softmax(self, x): return x.exp()\n"
        "    def forward(self, x): return self.softmax(x)"
    ),
    "a part that has such a method": (
        "class M:\n    def softmax(self, x): return x\nclass f:\n    def __init__(self): self.m = M()\n"
        "    def forward(self, x): return self.m.softmax(x)"
    ),
    "another library's": "import numpy as np\ndef f(x): return np.softmax(x)",
    "a type": "from torch import nn\ndef f(x: nn.Softmax) -> nn.MultiheadAttention: return x",
    "a question about the type": "from torch import nn\ndef f(x): return isinstance(x, (nn.Softmax, list))",
    "a comparison beside it": "import torch\ndef f(x): return x\nprint(torch.softmax(torch.ones(2), -1), f(1))",
    "a function for comparison": (
        "import torch\ndef library(x): return torch.softmax(x, -1)\ndef f(x): return x\nwanted = library(torch.ones(2))"
    ),
    "numbers that it gave": "import torch\nw = torch.ones(3).softmax(-1)\ndef f(x): return x * w",
    "other functions of the module": "import torch.nn.functional as F\ndef f(x): return F.relu(F.normalize(x))",
    "logsumexp": "def f(x): return (x - x.logsumexp(-1, keepdim=True)).exp()",
    "a name given to something else": (
        "from torch.nn.functional import softmax as s\ndef s(x): return x\ndef f(x): return s(x)"
    ),
    "a solved exercise carried on": (
        "from attnlab.checks.welcome import check\ndef f(x): return mine(x)\ndef own(x): return x.exp()\nmine = own"
    ),
}


def read(*sources, name="f", names=ATTENTION + SOFTMAX, elsewhere=None):
    return find_shortcuts(sources, name, names, elsewhere)


def run(code, name="f"):
    """What `name` is once the code has run as a cell does, its text being known to linecache."""
    filename = f"<cell {abs(hash(code))}>"
    linecache.cache[filename] = (len(code), None, code.splitlines(keepends=True), filename)
    names = {"__name__": "__main__"}
    exec(compile(code, filename, "exec"), names)
    return names[name]


@pytest.mark.parametrize("how", TAKEN)
def test_a_shortcut_is_found_however_it_is_written(how):
    code, wanted = TAKEN[how]
    found = read(code)
    assert len(found) == 1, found
    assert wanted in (None, found[0].name)


@pytest.mark.parametrize("how", TAKEN)
def test_the_line_and_its_text_are_those_of_the_cell(how):
    code, _ = TAKEN[how]
    shortcut = read(code)[0]
    assert code.splitlines()[shortcut.line - 1].strip()[:100] == shortcut.text != ""
    assert str(shortcut) == f"{shortcut.name} (line {shortcut.line})"


@pytest.mark.parametrize("how", NOT_TAKEN)
def test_what_is_no_shortcut_is_left_alone(how):
    assert read(NOT_TAKEN[how]) == []


@pytest.mark.parametrize("how", [*TAKEN, *NOT_TAKEN])
def test_practice_finds_in_the_objects_what_marking_finds_in_the_texts(how):
    code = TAKEN[how][0] if how in TAKEN else NOT_TAKEN[how]
    assert _named(shortcuts_of(run(code), "f", ATTENTION + SOFTMAX)) == _named(read(code))


def _named(shortcuts):
    """The names; an object does not know by which path `check` was imported."""
    return {"answer" if shortcut.name.endswith(".answer") else shortcut.name for shortcut in shortcuts}


def test_imports_and_helpers_of_earlier_cells_count():
    cells = ["import torch.nn.functional as F", "def h(x): return F.softmax(x, -1)", "def f(x):\n    return h(x)"]
    assert [(s.name, s.line) for s in read(*cells)] == [(F_SOFTMAX, 1)]


def test_the_last_cell_to_define_a_name_counts():
    taken, own = "def h(x): return x.softmax(-1)", "def h(x): return x.exp()"
    use = "def f(x): return h(x)"
    assert read(own, use, taken) and not read(taken, use, own)


def test_a_cell_that_does_not_parse_hides_no_other():
    assert read("def broken(:", "def f(x): return x.softmax(-1)")


def test_lines_that_only_ipython_understands_are_passed_over():
    cell = "%matplotlib inline\n!ls\nfiles = !ls\nf?\ndef f(x):\n    %time y = 3\n    return x.softmax(-1)"
    assert [s.line for s in read(cell)] == [7]
    assert read("%%time\ndef f(x): return x.softmax(-1)")


def test_a_remainder_at_the_start_of_a_line_is_no_magic():
    assert read("def f(x):\n    y = (x\n        % 3)\n    return y.softmax(-1)")


def test_each_call_is_reported_once_where_it_is_first_met():
    code = "import torch\ndef f(x):\n    a = torch.softmax(x, 0)\n    return torch.softmax(a, 1) + x.softmax(-1)"
    assert [(s.name, s.line) for s in read(code)] == [("torch.softmax", 3), (METHOD, 4)]


def test_an_exercise_that_names_nothing_may_still_not_take_the_answer():
    taken = "from attnlab import reference\ndef f(x): return reference.softmax.softmax(x)"
    assert [s.name for s in read(taken, names=())] == ["attnlab.reference.softmax.softmax"]
    assert read("import attnlab.papers.hopfield as h\ndef f(x): return h.update(x)", names=())
    assert read("from attnlab.fast import *\ndef f(x): return linear(x)", names=())


def test_what_another_exercise_is_judged_by_is_not_charged_twice():
    cell = "def attention(q):\n    return q.softmax(-1)\ndef f(q): return attention(q)"
    assert read(cell)
    assert read(cell, elsewhere={"attention": SOFTMAX}) == []
    assert read(cell, elsewhere={"attention": ATTENTION}), "it does not name softmax, so nobody else reports it"


def test_the_exercises_own_function_is_judged_under_any_name():
    code = "def other(x): return x.softmax(-1)\nf = other"
    assert read(code, elsewhere={"other": SOFTMAX})


def test_a_name_that_was_never_defined_has_no_shortcuts():
    assert read("import torch", name="attention") == []


def test_what_is_put_together_at_run_time_is_beyond_reading():
    """Said in the module's first lines: it is no lock."""
    assert read('import torch\ndef f(x): return getattr(torch, "soft" + "max")(x)') == []


HOSTILE = {
    "NUL": "def f(x): return x.softmax(-1)\0",
    "half a character": "x = '\ud800'\ndef f(x): return x.softmax(-1)",
    "brackets": "f = " + "(" * 5000 + ")" * 5000,
    "minuses": "f = " + "-" * 90_000 + "1",
    "attributes": "f = a" + ".b" * 90_000,
    "attributes, fewer": "def f(x): return x" + ".b" * 1500,
    "calls": "f = f" + "()" * 2500,
    "sum": "f = " + "1+" * 90_000 + "1",
    "lambdas": "f = " + "lambda:" * 20_000 + "1",
    "branches": "def f(x):\n    if x: pass\n" + "    elif x: pass\n" * 9000,
    "huge": "def f(x): return x.softmax(-1)\n" + "#" * 1_000_000,
    "bases in a circle": "class A(B): pass\nclass B(A): pass\nclass f(B, f): pass\n" * 2000,
    "a name of a thousand values": "def f(x):\n" + "".join(f"    x = x.a{i}\n" for i in range(9000)),
    "tables of tables": "\n".join(f"x{i} = [lambda: x{i - 1}, x{i - 1}]" for i in range(6000)) + "\nf = x5999",
    "functions in a ring": "".join(f"def f{i}(x): return f{i + 1}(x) + f{i - 1}(x)\n" for i in range(1, 4000)) + "f=f1",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_source_gives_nothing_and_soon(kind):
    start = time.perf_counter()
    assert read(HOSTILE[kind]) == []
    assert time.perf_counter() - start < 5


def test_a_backslash_in_the_learners_string_warns_nobody(recwarn):
    assert read('def f(x):\n    "\\d"\n    return x.softmax(-1)')
    assert not recwarn


def test_reading_texts_loads_neither_torch_nor_numpy(subprocess_python):
    code = (
        "import sys, attnlab.checks.shortcuts as s\n"
        "print(s.find_shortcuts(['f = 1'], 'f'), 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    assert subprocess_python(code).stdout.split() == ["[]", "False", "False"]


# --- The course's exercises.


@each_exercise
def test_every_shortcut_that_an_exercise_names_exists(exercise):
    for name in exercise.shortcuts:
        parts = name.split(".")
        for count in range(len(parts), 0, -1):
            try:
                thing = importlib.import_module(".".join(parts[:count]))
                break
            except ImportError:
                continue
        for part in parts[count:]:
            thing = getattr(thing, part)
        assert callable(thing), name


@each_exercise
def test_every_shortcut_that_an_exercise_names_is_found_in_code_that_calls_it(exercise):
    for name in exercise.shortcuts:
        head, _, last = name.rpartition(".")
        method = head == "torch.Tensor"
        code = (
            f"def {exercise.name}(x): return x.{last}(-1)"
            if method
            else (f"import {head.split('.')[0]}\ndef {exercise.name}(x): return {name}(x)")
        )
        assert [s.name for s in read(code, name=exercise.name, names=exercise.shortcuts)] == [name]


LIBRARY = {
    "welcome.softmax": ("torch's own", "torch.softmax"),
    "self_attention.attention": ("torch's own", SDPA),
    "self_attention.SelfAttention1d": ("torch's own", SDPA),
    "self_attention.soft_lookup": ("library", SDPA),
}


@pytest.mark.parametrize("full_name", LIBRARY)
def test_right_answers_by_value_that_call_the_library_are_found(full_name):
    exercise = next(e for e in EXERCISES if e.full_name == full_name)
    variant, wanted = LIBRARY[full_name]
    assert wanted in [s.name for s in shortcuts_of(exercise.also_right[variant], exercise.name, exercise.shortcuts)]


@each_exercise
def test_right_answers_written_by_hand_take_no_shortcut(exercise):
    calls = re.compile(r"torch's own|library|log_softmax")
    for variant, answer in exercise.also_right.items():
        found = [s for s in shortcuts_of(answer, exercise.name, exercise.shortcuts) if s.name in exercise.shortcuts]
        assert bool(found) == bool(calls.search(variant) and exercise.shortcuts), (variant, found)


@pytest.fixture(scope="module", params=LESSONS)
def solution(request):
    """A lesson, and the cells of its solution."""
    slug = LESSONS[request.param].slug
    text = (ROOT / "solutions" / slug / f"{slug}.py").read_text(encoding="utf-8")
    cells = [cell.source for cell in jupytext.reads(text, fmt="py:percent").cells if cell.cell_type == "code"]
    return LESSONS[request.param], cells


def test_no_solution_takes_a_shortcut(solution):
    lesson, cells = solution
    for exercise in lesson.exercises.values():
        assert any(f" {exercise.name}(" in cell for cell in cells)
        assert find_shortcuts(cells, exercise.name, exercise.shortcuts) == []


def test_a_solution_with_the_library_call_in_one_exercise_is_reported_for_that_one_alone():
    text = (ROOT / "solutions/05_self_attention/05_self_attention.py").read_text(encoding="utf-8")
    own = "    return weights @ value, weights\n"
    assert own in text
    text = text.replace(own, "    return F.scaled_dot_product_attention(query, key, value, mask), weights\n", 1)
    cells = [cell.source for cell in jupytext.reads(text, fmt="py:percent").cells if cell.cell_type == "code"]
    found = {}
    for name, exercise in self_attention.exercises.items():
        shortcuts = find_shortcuts(cells, name, exercise.shortcuts, judged_elsewhere(exercise))
        found[name] = [shortcut.name for shortcut in shortcuts]
    assert {name: names for name, names in found.items() if names} == {"attention": [SDPA]}


@each_exercise
def test_neither_hints_nor_advice_suggest_the_shortcut(exercise):
    advice = [*exercise.hints, *(mistake.action for mistake in exercise.mistakes)]
    short = {name.replace("torch.nn.functional", "F").replace("torch.nn", "nn") for name in exercise.shortcuts}
    for name in short | set(exercise.shortcuts):
        assert not [text for text in advice if f"{name}(" in text or f"use {name}" in text or f"call {name}" in text]


# --- In a notebook.


@pytest.fixture(autouse=True)
def no_policy(monkeypatch):
    monkeypatch.delenv("ATTNLAB_SHORTCUTS", raising=False)
    monkeypatch.setattr(notebook, "_lent", {})


@pytest.fixture
def cell():
    """Runs a cell of a notebook; gives what its last line does."""
    shell = InteractiveShell()
    shell.run_cell("import torch\nimport torch.nn.functional as F\nfrom attnlab.checks.welcome import check")

    def run_cell(code):
        done = shell.run_cell(code, store_history=True, silent=False)
        done.raise_error()
        return done.result

    yield run_cell
    shell.history_manager.end_session()


SHORT = "def softmax(scores, temperature=1.0):\n    scores = scores / temperature\n    return F.softmax(scores, -1)"
CHECK = "check.softmax(softmax)"


def test_unless_told_otherwise_practice_warns_in_the_line_after_the_verdict_and_keeps_the_points(cell):
    cell(SHORT)
    report = cell(CHECK)
    assert report.passed and report.points == report.max_points
    assert report.shortcuts == ["torch.nn.functional.softmax (line 3)"]
    assert report.message.splitlines() == [
        f"✓ softmax: all {report.max_points} points. Every law holds ({len(report.laws)}).",
        "Your code calls torch.nn.functional.softmax (line 3): that does what this exercise asks you to write. "
        "To compare with it, call it in a cell of its own.",
    ]
    assert "Your code calls torch.nn.functional.softmax (line 3)" in report.panel()


def test_refused_it_counts_as_not_passed_and_the_first_line_says_so(cell, monkeypatch, surroundings):
    monkeypatch.setenv("ATTNLAB_SHORTCUTS", "refuse")
    cell(SHORT)
    report = cell(CHECK)
    assert not report.passed and report.points == 0 and report.refused and not report.broken
    first, second, third, _ = report.message.splitlines()
    assert first == (f"✗ softmax: 0 of {report.max_points} points. A shortcut is taken, and this course refuses it.")
    assert "torch.nn.functional.softmax (line 3)" in second and third == f"Every law holds ({len(report.laws)})."
    assert ast.literal_eval(surroundings.read_text())["exercises"]["welcome.softmax"]["points"] == 0


def test_ignored_it_is_not_even_looked_for(cell, monkeypatch):
    monkeypatch.setenv("ATTNLAB_SHORTCUTS", "ignore")
    cell(SHORT)
    report = cell(CHECK)
    assert report.passed and report.shortcuts == [] and len(report.lines()) == 1


@pytest.mark.parametrize(("chosen", "share"), [("ignore", 1.0), ("warn", 1.0), (None, 1.0), ("refuse", 0.0)])
@pytest.mark.parametrize("how", [("NBGRADER_EXECUTION", "autograde"), ("ATTNLAB_SEED", "7")], ids=lambda how: how[0])
def test_graded_a_refused_shortcut_gets_nothing_and_any_other_all_points(cell, monkeypatch, how, chosen, share):
    monkeypatch.setenv(*how)
    if chosen:
        monkeypatch.setenv("ATTNLAB_SHORTCUTS", chosen)
    cell(SHORT)
    points = cell(CHECK)
    assert type(points) is float
    assert points == share * welcome.exercises["softmax"].points


def test_the_same_words_for_a_wrong_answer_fit_into_six_lines(cell, monkeypatch):
    cell("def softmax(scores, temperature=1.0):\n    return F.softmax(scores, dim=0)")
    for chosen in ("warn", "refuse"):
        monkeypatch.setenv("ATTNLAB_SHORTCUTS", chosen)
        report = cell(CHECK)
        assert not report.passed and report.diagnosis
        assert len(report.message.splitlines()) <= 6
        assert report.lines()[1][0] == "shortcut"
        assert ("refuses" in report.lines()[0][1]) == (chosen == "refuse") == (report.points == 0)


def test_an_experiment_cell_that_compares_with_the_library_is_left_alone(cell):
    own = SHORT.replace("F.softmax(scores, -1)", "(scores - scores.logsumexp(-1, keepdim=True)).exp()")
    cell(f"{own}\n\nprint((softmax(torch.ones(3)) - F.softmax(torch.ones(3), -1)).abs().max())")
    assert cell(CHECK).shortcuts == []


def test_a_cell_run_again_with_the_call_taken_out_is_clean(cell):
    cell(SHORT)
    assert cell(CHECK).shortcuts
    cell(SHORT.replace("F.softmax(scores, -1)", "(scores - scores.logsumexp(-1, keepdim=True)).exp()"))
    assert cell(CHECK).shortcuts == []


def test_the_reference_that_carry_on_lent_is_not_held_against_anybody(cell):
    """The lesson's own next cell goes on with it."""
    cell("def softmax(scores, temperature=1.0):\n    raise NotImplementedError")
    cell("my_softmax = check.softmax.carry_on(softmax)")
    cell(
        "def nadaraya_watson(queries, keys, values, bandwidth):\n"
        "    squares = (queries.unsqueeze(-2) - keys.unsqueeze(-3)).square().sum(dim=-1)\n"
        "    weights = my_softmax(-squares / 2, temperature=bandwidth**2)\n"
        "    return weights @ values, weights"
    )
    report = cell("check.nadaraya_watson(nadaraya_watson)")
    assert report.passed and report.shortcuts == []
    assert cell("check.softmax(my_softmax)").shortcuts == ["attnlab.reference.softmax.softmax"]


def test_torchs_own_function_handed_in_as_the_answer_is_named_without_a_line(cell):
    assert cell("check.softmax(torch.softmax)").shortcuts == ["torch.softmax"]


def test_nothing_written_is_told_as_that_and_nothing_else(cell, monkeypatch):
    monkeypatch.setenv("ATTNLAB_SHORTCUTS", "refuse")
    cell("def softmax(scores, temperature=1.0):\n    raise NotImplementedError\n    return F.softmax(scores)")
    report = cell(CHECK)
    assert not report.attempted and report.shortcuts == [] and "refuse" not in report.message


@pytest.mark.parametrize("answer", [None, 3, "softmax", object, print, len, int, Report], ids=repr)
def test_an_answer_without_source_has_no_shortcuts(answer):
    assert shortcuts_of(answer, "softmax", SOFTMAX) == []


def test_an_answer_that_only_looks_like_a_function_is_not_asked_anything():
    class Proxy:
        def __getattr__(self, name):
            raise RuntimeError(name)

        def __call__(self, scores, temperature=1.0):
            return scores

    assert shortcuts_of(Proxy(), "softmax", SOFTMAX) == []


def test_a_policy_that_does_not_exist_is_told_and_not_taken_for_none(monkeypatch):
    monkeypatch.setenv("ATTNLAB_SHORTCUTS", "refues")
    with pytest.raises(ValueError, match="one of ignore, warn, refuse; got 'refues'"):
        welcome.softmax(lambda scores, temperature=1.0: scores)
    assert policy("refuse") == "refuse"


@pytest.mark.parametrize(
    "source",
    [
        'def f(x):\n    return getattr(torch, "soft" "max")(x, -1)',
        'def f(x):\n    return getattr(torch, "\\x73oftmax")(x, -1)',
        "def f(x):\n    return torch.\N{MATHEMATICAL ITALIC SMALL S}oftmax(x, -1)",
    ],
)
def test_names_are_looked_for_as_python_reads_them_and_not_as_they_are_written(source):
    assert "softmax" not in source
    assert [found.name for found in find_shortcuts(["import torch", source], "f", SOFTMAX)] == ["torch.softmax"]
