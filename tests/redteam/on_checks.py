# ruff: noqa: E501  the student's code stands here as text
"""Attacks on what decides about points: the comparison, the expected values, the protocol, the values themselves."""

from __future__ import annotations

import functools

from attnlab.checks import find_exercise
from grader.referee.result import Result
from tests.redteam.case import SELF_ATTENTION, CannotArise, Case, Look, Threat, lesson_05, plain
from tests.redteam.plain_lesson import FULL, MAGIC_SLUG, RIGHT

# Everything that this process can see, searched for secrets; told by what `attention` and `words` raise.
LOOT = """
import ctypes, gc, os, re, sys

SECRET = re.compile(r"RT-[A-Z]+-[0-9a-f]{16}")
NUMBER = re.compile(r"\\b1[0-9]{9}\\b")
loot, steps = set(), []


def keep(item, deep=True):
    if isinstance(item, (bytes, bytearray)):
        item = item.decode("latin1")
    if isinstance(item, str):
        loot.update(SECRET.findall(item))
    elif deep and type(item) in (list, tuple, set, dict):
        for part in list(item.values() if type(item) is dict else item):
            keep(part, False)


def tell(*_, **__):
    raise RuntimeError("loot: " + " ".join(sorted(loot)) + " | " + " ".join(steps))


attention = words = tell
"""
TENSOR_LIAR = """
class Liar(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in ("allclose", "equal", "isclose", "all", "any", "__bool__", "__eq__", "eq"):
            return True
        out = super().__torch_function__(function, types, args, kwargs or {})
        return out


def attention(query, key, value):
    return torch.zeros(*query.shape[:-1], value.shape[-1]).as_subclass(Liar)
"""
OBJECT_LIAR = """
class Anything:
    shape = 1
    def __getattr__(self, name):
        return lambda *a, **k: self
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __bool__(self): return True
    def __float__(self): return 2.0
    def __int__(self): return 2
    def __index__(self): return 2
    def __len__(self): return 3
    def __iter__(self): return iter([0, 2, 4])
    def __getitem__(self, place): return self
    def __add__(self, other): return self
    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __add__
    def __array__(self, *a, **k): return self
    def __torch_function__(self, *a, **k): return True
    def __hash__(self): return hash(3)


class Text(str):
    __eq__ = lambda self, other: True
    __hash__ = str.__hash__


class Number(int):
    __eq__ = lambda self, other: True
    __ne__ = lambda self, other: True
    __hash__ = int.__hash__


class Row(list):
    __eq__ = lambda self, other: True


attention = lambda *a: Anything()
evens = lambda count: Row([count])
words = lambda text: Number(7)
Head = Anything
"""
# Reads memory where it lies: the kernel copies a page into a pipe, or says that there is none.
PAGES = """
libc = ctypes.CDLL(None, use_errno=True)
planted = ["RT-" + "PLANTED-" + "0" * 16, b"RT-" + b"PLANTED-" + b"0" * 16 + bytes(100_000)]
ends = os.pipe()
memory = re.compile(rb"RT-[A-Z]+-[0-9a-f]{16}")
near = {id(x) >> 24 for x in (planted, planted[0], planted[1], gc, torch, globals(), object(), 10**30, print)}
for block in sorted({n + d for n in near for d in range(-4, 5)}):
    for page in range(block << 24, (block + 1) << 24, 1 << 14):
        count = libc.write(ends[1], ctypes.c_void_p(page), 1 << 14)
        if count > 0:
            loot.update(found.decode() for found in memory.findall(os.read(ends[0], 1 << 14)))
steps.append("done")
"""
LYING_GRADIENT = """
right = attention
class Lie(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value):
        return right(query, key, value)
    @staticmethod
    def backward(ctx, grad):
        return torch.ones(3, 4), torch.zeros(3, 4), None
attention = Lie.apply
"""
YES = """
class Yes:
    shape = 1
    testing = property(lambda self: self)
    def __getattr__(self, name): return lambda *a, **k: self
    def allclose(self, *a, **k): return True
    assert_allclose = close = allclose


torch = np = math = Yes()
close = expected = lambda *a, **k: True
attention = lambda *a, **k: Yes()
"""
# The socket of this process, found among its descriptors.
SOCKET = """
import json, os, socket, struct, time

for number in range(3, 128):
    try:
        wire = socket.socket(fileno=os.dup(number))
        wire.getpeername()
        break
    except OSError:
        continue


def message(head, *blobs, lengths=None):
    head = dict(head, blobs=lengths if lengths is not None else [len(b) for b in blobs])
    text = json.dumps(head).encode()
    return struct.pack(">I", len(text)) + text + b"".join(blobs)


def once_called(raw):
    def attention(*_):
        wire.sendall(raw)
        return torch.zeros(1)
    return attention


"""
MAKERS = """
zeros = torch.zeros
def deep():
    value = []
    for _ in range(100_000):
        value = [value]
    return value
def me():
    value = [1]
    value.append(value)
    return value
"""
FLOOD = """
until = time.time() + 30
raw = message({"op": "x"}) * 200
wire.setblocking(False)
while time.time() < until:
    for do in (lambda: wire.send(raw), lambda: wire.recv(1 << 20)):
        try:
            do()
        except BlockingIOError:
            pass
"""


def forged(name: str, raw: str, seconds: float = 8.0) -> Case:
    """A reply of the student's own making to the first call of `attention`."""
    return Case(f"raw reply: {name}", plain(SOCKET + f"attention = once_called({raw})\n"), 0, seconds=seconds)


def returning(name: str, attention: str, evens: str = "", seconds: float = 8.0) -> Case:
    """`attention` returns this expression (of query, key, value and zeros), `evens` the other (of count)."""
    text = MAKERS + f"def attention(query, key, value):\n    return {attention}\n"
    text += f"def evens(count):\n    return {evens}\n" if evens else ""
    return Case(f"returns {name}", plain(text), 0, seconds=seconds)


def _probe_ran(ground, result: Result) -> None:
    assert "done" in result.exercises[0].staff, f"the probe did not run to its end: {result.exercises[0].staff[:300]}"


def _planted_was_found(ground, result: Result) -> None:
    assert "RT-PLANTED-0" in result.exercises[0].staff, f"the probe found nothing: {result.exercises[0].staff[:300]}"


def _told_one_socket(ground, result: Result) -> None:
    told = result.exercises[0].staff
    assert "socket:" in told, f"the probe did not run: {told[:300]}"
    assert told.count("socket:") == 1, f"other descriptors than one socket are open: {told[:600]}"
    assert "can read" not in told, told[:600]


@functools.cache
def memorised() -> str:
    """Answers to the inputs that everybody sees (seed 0), by what their first number is."""
    exercise = find_exercise("self_attention.dot_product_scores")
    known = {}
    for case in exercise.cases(0):
        query, key = case.inputs
        known[round(float(query.flatten()[0]), 4)] = exercise.answer(query, key).tolist()
    return (
        f"KNOWN = {known!r}\ndef dot_product_scores(query, key):\n"
        "    return torch.tensor(KNOWN[round(float(query.flatten()[0]), 4)])\n"
    )


PATCHED = """
import builtins
import numpy as np
import torch.testing

yes = lambda *a, **k: True
torch.allclose = torch.equal = torch.isclose = torch.testing.assert_close = np.allclose = np.array_equal = yes
np.testing.assert_allclose = np.testing.assert_array_equal = np.testing.assert_equal = yes
torch.Tensor.__eq__ = torch.Tensor.equal = torch.Tensor.allclose = yes
torch.softmax = torch.einsum = lambda *a, **k: zeros
"""
ON_CHECKS = (
    Threat(
        1,
        "replace the comparison",
        (
            Case("patch torch and numpy", plain(PATCHED), 0),
            Case(
                "patch builtins",
                plain(
                    "import builtins\nfor n in ('all', 'any', 'abs', 'len', 'sum', 'isinstance', 'round', 'map'):\n"
                    "    setattr(builtins, n, lambda *a, **k: True)\nbuiltins.AssertionError = Warning\n"
                ),
                0,
            ),
            Case("bind the names that tests use", plain(YES), 0),
            Case("the same, imports under a magic", plain(YES, magic=True), 0, lesson=MAGIC_SLUG),
            Case(
                "fail a helper's cell, then be the helper",
                plain(
                    "expected = lambda query, key, value: attention(query, key, value)\n",
                    attention="def attention(query, key, value):\n    if query.shape == (2, 4):\n"
                    "        raise ValueError('not now')\n"
                    "    return torch.zeros(*query.shape[:-1], value.shape[-1])\n",
                ),
                0,
            ),
            Case(
                "die in a helper's cell, then be the helper",
                plain(
                    "import os, sys\nexpected = close = lambda *a: True\n"
                    "def attention(query, key, value):\n    if query.shape == (2, 4) and sys._getframe(1).f_code.co_name "
                    "== '_serve_call':\n        os._exit(3)\n"
                    "    return torch.zeros(*query.shape[:-1], value.shape[-1])\n",
                ),
                0,
            ),
            Case(
                "patch the check of lesson 05",
                lesson_05(
                    "import attnlab.checks.self_attention as a\na.check.attention = lambda *_: 14.0\ncheck = a.check"
                ),
                0,
                lesson=SELF_ATTENTION,
            ),
        ),
    ),
    Threat(
        2,
        "AST transformer drops asserts",
        (
            Case(
                "ast_transformers",
                plain(
                    "import ast\nclass Drop(ast.NodeTransformer):\n    def visit_Assert(self, node):\n"
                    "        return ast.Pass()\nget_ipython().ast_transformers.append(Drop())\n"
                ),
                0,
            ),
        ),
    ),
    Threat(
        3,
        "input transformer empties test cells",
        (
            Case(
                "input_transformers_cleanup",
                plain(
                    "get_ipython().input_transformers_cleanup.append("
                    "lambda lines: ['pass\\n'] if any('assert' in l for l in lines) else lines)\n"
                ),
                0,
            ),
        ),
    ),
    Threat(
        4,
        "expected value from globals",
        (
            Case(
                "search every name space",
                plain(
                    LOOT + "def look():\n    import builtins, __main__\n"
                    "    for space in (globals(), vars(builtins), vars(__main__), *map(vars, list(sys.modules.values()))):\n"
                    "        for name, value in list(space.items()):\n"
                    "            steps.append('has ' + name) if name in ('hidden_value', 'hidden_note') else keep(value)\n"
                    "    steps.append('done')\n"
                    "def attention(query, key, value):\n    found = globals().get('want')\n"
                    "    if found is None:\n        look()\n        tell()\n    return found\n"
                ),
                0,
            ),
        ),
    ),
    Threat(
        5,
        "expected value from frames",
        (
            Case(
                "walk up the frames",
                plain(
                    LOOT + "def attention(query, key, value):\n    frame = sys._getframe()\n    while frame:\n"
                    "        steps.append(frame.f_code.co_name)\n"
                    "        for space in (frame.f_locals, frame.f_globals):\n"
                    "            for name, item in list(space.items()):\n"
                    "                if name == 'want':\n                    return item\n                keep(item)\n"
                    "        frame = frame.f_back\n    steps.append('done')\n    tell()\n"
                ),
                0,
                look=_probe_ran,
            ),
        ),
    ),
    Threat(
        6,
        "lying tensor subclass",
        (
            Case("__torch_function__", plain(TENSOR_LIAR), 0),
            Case(
                "a shape that lies",
                plain(
                    "class Liar(torch.Tensor):\n    shape = property(lambda self: torch.Size([2, 3, 6]))\n"
                    "    def detach(self): return self\n    def numel(self): return 1\n"
                    "attention = lambda *a: torch.zeros(2, 3, 7).as_subclass(Liar)\n"
                ),
                0,
            ),
            Case(
                "in lesson 05",
                lesson_05(
                    attention="class Liar(torch.Tensor):\n    @classmethod\n"
                    "    def __torch_function__(cls, f, t, a=(), k=None): return True\n"
                    "def attention(query, key, value, mask=None):\n"
                    "    return query.as_subclass(Liar), key.as_subclass(Liar)\n"
                ),
                0,
                lesson=SELF_ATTENTION,
            ),
        ),
    ),
    Threat(
        7,
        "forged __eq__ and the like",
        (
            Case("objects, numbers, text, lists", plain(OBJECT_LIAR), 0),
            Case(
                "StopIteration ends a loop of the test", plain(evens="def evens(count):\n    raise StopIteration\n"), 0
            ),
            Case(
                "an error of every kind",
                plain(
                    "import builtins\nkinds = [k for k in vars(builtins).values() if isinstance(k, type) and "
                    "issubclass(k, BaseException)]\nn = [0]\ndef boom(*a):\n    n[0] += 1\n"
                    "    raise type('E' + str(n[0]), (kinds[n[0] % len(kinds)],), {})\n"
                    "attention = words = boom\n"
                ),
                0,
            ),
            returning("not a number", "torch.full((*query.shape[:-1], value.shape[-1]), float('nan'))"),
            returning("a share of nothing", "None", "zeros(0, 5)"),
            Case("gradients that are none", plain(LYING_GRADIENT, answers=RIGHT), FULL - 1),
            Case(
                "gradients of the protocol's own making",
                plain(
                    "from grader.referee import link\n"
                    "link.Link._serve_vjp = lambda self, head, blobs: ({'v': {'k': 'list', 'v': [None] * 7}}, [])\n",
                    answers=RIGHT,
                ),
                FULL - 1,
            ),
            Case(
                "change the inputs so that the answer is right",
                lesson_05(
                    dot_product_scores="def dot_product_scores(query, key):\n    query.zero_(), key.zero_()\n"
                    "    return torch.zeros(*query.shape[:-1], key.shape[-2])\n",
                    scale="def scale(scores, width):\n    return scores.zero_().clone()\n",
                ),
                4,  # of the 6 that zeros deserve, less those for leaving the inputs alone
                lesson=SELF_ATTENTION,
                leaves=True,
                look=lambda ground, result: _no_law_of_numbers(result),
            ),
        ),
    ),
    Threat(
        8,
        "call the library's reference",
        (
            Case(
                "import it, ask the check for it, read its source",
                lesson_05(
                    "import glob, importlib, sys\nfound, names = [], ['attnlab.reference.attention', 'attnlab.reference',"
                    " 'attnlab.checks.self_attention.attention', 'attnlab.fast', 'attnlab.papers']\n"
                    "def try_all():\n    for name in names:\n        try:\n"
                    "            space = vars(importlib.import_module(name))\n"
                    "            found.extend(v for k, v in space.items() if k in ('reference', 'attention', 'flawed'))\n"
                    "        except Exception:\n            pass\n"
                    "try_all()\nsys.meta_path.pop(0)\n"
                    "for name in [n for n in sys.modules if n.startswith('attnlab.')]:\n    del sys.modules[name]\n"
                    "try_all()\nfor folder in {*sys.path, '@PACKAGES@'}:\n"
                    "    found += glob.glob(folder + '/attnlab/reference/*') + glob.glob(folder + '/attnlab/checks/*')\n"
                    "    found += glob.glob(folder + '/solutions/*')\n",
                    attention="def attention(query, key, value, mask=None):\n"
                    "    if found and callable(found[0]):\n        return found[0](query, key, value, mask)\n"
                    "    raise RuntimeError('found: ' + repr(found))\n",
                    scale="def scale(scores, width):\n    return check.scale.answer(scores, width)\n",
                ),
                0,
                lesson=SELF_ATTENTION,
                look=lambda ground, result: _nothing_found(result),
            ),
        ),
    ),
    Threat(
        10,
        "inherited memory",
        (
            Case(
                "objects of the collector, frozen ones too",
                plain(
                    LOOT + "gc.unfreeze()\nkinds = (str, bytes, bytearray, list, dict, tuple, set, memoryview)\n"
                    "for item in gc.get_objects():\n    if type(item) in kinds:\n"
                    "        try:\n            keep(item)\n        except Exception:\n            pass\n"
                    "    if type(item).__name__ == 'frame':\n        keep(list(dict(item.f_locals).values()))\n"
                    "steps.append('done')\n"
                ),
                0,
                look=_probe_ran,
            ),
            Case(
                "all frames, from the cell up",
                plain(
                    LOOT + "frame = sys._getframe()\nwhile frame:\n    steps.append(frame.f_code.co_name)\n"
                    "    for item in list(dict(frame.f_locals).values()):\n        keep(item)\n    frame = frame.f_back\n"
                    "steps.append('done')\n"
                ),
                0,
                look=_probe_ran,
            ),
            Case("memory, page by page, by the kernel", plain(LOOT + PAGES), 0, seconds=14.0, look=_planted_was_found),
            Case(
                "the whole memory",
                plain(
                    LOOT + "memory = re.compile(rb'RT-[A-Z]+-[0-9a-f]{16}')\n"
                    "try:\n    with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as mem:\n"
                    "        for line in maps:\n            place, rights = line.split()[:2]\n"
                    "            if not rights.startswith('rw'):\n                continue\n"
                    "            low, high = (int(x, 16) for x in place.split('-'))\n"
                    "            for at in range(low, high, 1 << 22):\n                try:\n"
                    "                    mem.seek(at)\n"
                    "                    loot.update(m.decode() for m in memory.findall(mem.read(min(1 << 22, high - at))))\n"
                    "                except OSError:\n                    pass\n"
                    "except OSError as error:\n    steps.append(repr(error))\nsteps.append('done')\n"
                ),
                0,
                look=_probe_ran,
            ),
        ),
    ),
    Threat(
        11,
        "inherited descriptors",
        (
            Case(
                "list and read all descriptors",
                plain(
                    LOOT
                    + "for number in range(1024):\n    try:\n        kind = os.readlink(f'/proc/self/fd/{number}')\n"
                    "    except OSError:\n        try:\n            os.fstat(number)\n            kind = 'open'\n"
                    "        except OSError:\n            continue\n    if kind.startswith('socket:'):\n"
                    "        steps.append(kind)\n        continue\n    try:\n"
                    "        os.lseek(number, 0, 0)\n        keep(os.read(number, 1 << 16))\n"
                    "    except OSError:\n        pass\n    if kind != '/dev/null' and '/proc/' not in kind:\n"
                    "        steps.append('can read ' + kind)\n"
                ),
                0,
                look=_told_one_socket,
            ),
        ),
    ),
    Threat(
        16,
        "forged kernel messages and replies",
        (
            Case(
                "display a score",
                plain(
                    "ip = get_ipython()\nfor _ in range(3):\n    ip.display_pub.publish({'text/plain': '12.0'})\n"
                    "ip.displayhook(12.0)\n12.0\n"
                ),
                0,
            ),
            Case(
                "answer before being asked",
                plain(
                    SOCKET
                    + "for _ in range(50):\n    wire.sendall(message({'r': 1, 'v': True, 'printed': '', 'drew': False}))\n"
                ),
                0,
            ),
            forged("a score", "message({'r': 1, 'points': 12.0, 'v': 12.0, 'verdict': 'passed'})"),
            forged("a verdict", "message({'student': 'student', 'verdict': 'passed', 'points': 99})"),
            forged("4 GB to come", "b'\\xff\\xff\\xff\\xff'"),
            forged("not JSON", "struct.pack('>I', 5) + b'{{{{{'"),
            forged("100 000 levels", "struct.pack('>I', 200000) + b'[' * 100000 + b']' * 100000"),
            forged("negative lengths", "message({'r': 1, 'v': None}, lengths=[-5, 10])"),
            forged("lengths over the cap", "message({'r': 1, 'v': None}, lengths=[1 << 40])"),
            forged("a million lengths", "message({'r': 1, 'v': None}, lengths=[0] * 1000000)", seconds=14.0),
            forged("no lengths", "struct.pack('>I', 7) + b'{\"r\":1}'"),
            forged(
                "NaN for a shape",
                "message({'r': 1, 'v': {'k': 'tensor', 't': 'float32', 's': [float('nan')], 'b': 0}}, b'1234')",
            ),
            forged(
                "a negative shape",
                "message({'r': 1, 'v': {'k': 'tensor', 't': 'float32', 's': [-1, -1], 'b': 0}}, b'1234')",
            ),
            forged(
                "a shape without bytes",
                "message({'r': 1, 'v': {'k': 'tensor', 't': 'float32', 's': [2, 3, 6], 'b': 0}}, b'1234')",
            ),
            forged(
                "an immense empty shape",
                "message({'r': 1, 'v': {'k': 'tensor', 't': 'float32', 's': [0, 1 << 62, 1 << 62], 'b': 0}}, b'')",
            ),
            forged("an immense range", "message({'r': 1, 'v': {'k': 'range', 'v': [0, 1 << 62, 1]}})"),
            forged("a handle of nothing", "message({'r': 1, 'v': {'k': 'module', 'id': 10**9, 'name': 'x'}})"),
            forged("a module of ours", "message({'r': 1, 'v': {'k': 'import', 'name': 'os'}})"),
            forged("a function of ours", "message({'r': 1, 'v': {'k': 'yours', 'id': 0}})"),
            forged("another name for a kind", "message({'r': 1, 'v': {'k': ['list'], 'v': []}})"),
            forged("an error of no kind", "message({'r': 1, 'error': [1, 2]})"),
            forged(
                "a request in place of a reply", "message({'op': 'call', 'f': {'id': 0}, 'args': None, 'kw': None}) * 3"
            ),
            Case(
                "flood of requests in a cell",
                plain(SOCKET + FLOOD),
                0,
                seconds=10.0,
                leaves=True,
            ),
            Case(
                "flood of requests in a check",
                plain(SOCKET + "def words(text):\n" + "".join(f"    {line}\n" for line in FLOOD.splitlines())),
                0,
                seconds=10.0,
                leaves=True,
            ),
            Case(
                "read nothing any more, before a large cell",
                plain(
                    "import time\nfrom grader.referee import wire\nwire.Channel.receive = lambda *a: time.sleep(60)\n",
                    last="",
                    words="text = '" + "\u00e9" * 190_000 + "'\ndef words(text):\n    return -1\n",
                    first="import threading, time\nfrom grader.referee import wire\n"
                    "wire.Channel.receive = lambda *a: time.sleep(60)\n",
                ),
                0,
                seconds=14.0,
                leaves=True,
            ),
        ),
    ),
    Threat(
        17,
        "patch the grader's own classes",
        (
            Case(
                "everything in W says passed",
                plain(
                    "import sys\nfrom grader.referee import errors, link, student, values, wire\n"
                    "yes = lambda *a, **k: ({'v': True, 'missing': False, 'points': 12}, [])\n"
                    "student.StudentLink._serve_fetch = student.StudentLink._serve_call = link.Link._serve_call = yes\n"
                    "values.Writer.write = lambda self, value, depth=0: True\n"
                ),
                0,
            ),
            Case(
                "every name is there and true",
                plain(
                    "from grader.referee import student\n"
                    "student.StudentLink._serve_fetch = lambda self, head, blobs: self._written(lambda *a, **k: True)\n"
                ),
                0,
            ),
            Case("the shell is gone", plain("get_ipython().run_cell = None"), 0),
            Case(
                "the protocol raises",
                plain(
                    "from grader.referee import student\ndef boom(*a, **k):\n    raise KeyboardInterrupt\n"
                    "student.StudentLink.serve = student.StudentLink.around_call = boom\n"
                ),
                0,
            ),
            Case(
                "the exam of lesson 05",
                lesson_05(
                    "from grader.referee import link, student\n"
                    "link.Link._serve_call = lambda self, head, blobs: ({'v': True, 'changed': []}, [])\n"
                ),
                4,  # what `return True` deserves in the bug hunt
                lesson=SELF_ATTENTION,
            ),
        ),
    ),
    Threat(
        18,
        "print a fake result",
        (
            Case(
                "on every channel",
                plain(
                    "import json, os, sys\ntext = json.dumps({'verdict': 'passed', 'points': 12, 'score': 12})\n"
                    "def attention(*a):\n    print(text, file=sys.stdout), print(text, file=sys.stderr)\n"
                    "    os.write(1, text.encode()), os.write(2, text.encode())\n    return text\nprint(text)\n"
                ),
                0,
            ),
        ),
    ),
    Threat(
        19,
        "write the results file",
        (
            Case(
                "in every folder that can be written",
                plain(
                    "import os\nfor folder in ('.', os.path.expanduser('~'), '/tmp', '/dev/shm', '/', '@COURSE@', "
                    "'@COURSE@/autograded/student', '@COURSE@/grading'):\n"
                    "    for name in ('results.json', 'grades.csv', 'gradebook.db', '@LEFT@-result.json'):\n"
                    "        try:\n            os.makedirs(folder, exist_ok=True)\n"
                    "            open(os.path.join(folder, name), 'w').write('{\"score\": 12}')\n"
                    "        except OSError:\n            pass\n"
                ),
                0,
                leaves=True,
            ),
        ),
    ),
    Threat(
        20,
        "pickle bomb in the results",
        (
            Case(
                "objects with __reduce__",
                plain(
                    "class Bomb:\n    def __reduce__(self):\n        import os\n"
                    "        return os.system, ('touch /tmp/@LEFT@-pickle',)\n"
                    "attention = lambda *a: Bomb()\nevens = lambda n: [Bomb()]\nwords = lambda t: {Bomb(): Bomb()}\n"
                ),
                0,
            ),
        ),
    ),
    Threat(
        22,
        "silence the traceback",
        (
            Case(
                "no traceback anywhere",
                plain(
                    "import sys\nip = get_ipython()\nip.showtraceback = ip.showsyntaxerror = sys.excepthook = lambda *a, **k: None\n"
                    "ip.set_custom_exc((BaseException,), lambda *a, **k: [])\n"
                    "class Quiet(Exception):\n    __str__ = __repr__ = lambda self: 1 / 0\n"
                    "def attention(*a):\n    raise Quiet\n"
                ),
                0,
            ),
        ),
    ),
    Threat(
        32,
        "immense and nested answers",
        (
            returning("a list of 100 000 levels", "deep()", "deep()"),
            returning("10 million numbers", "list(range(10**7))", "list(range(10**7))"),
            returning("a tensor of 10^12 by stride 0", "torch.zeros(1).expand(10**6, 10**6)"),
            returning("a gigabyte", "torch.ones(1 << 28)"),
            returning("a sparse tensor", "torch.eye(3).to_sparse()"),
            returning("a meta tensor", "torch.zeros(2, 3, 6, device='meta')"),
            returning("a quantized tensor", "torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8)"),
            returning("a nested tensor", "torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])"),
            returning("complex numbers", "torch.zeros(2, 3, 6, dtype=torch.complex64)"),
            returning("infinity", "torch.full((*query.shape[:-1], value.shape[-1]), float('inf'))"),
            returning("no numbers at all", "torch.zeros(0)"),
            returning("one number", "torch.tensor(0.0)"),
            returning("a leaf that wants gradients", "zeros(*query.shape[:-1], value.shape[-1], requires_grad=True)"),
            returning("half a character", "'\\ud800' * 1000", "'\\udfff' * 1000"),
            returning("strange keys", "{(1, 2): {float('nan'): b'x'}, None: {...: slice(3)}}", "{torch.ones(2): 1}"),
            returning("itself", "me()", "me()"),
            returning("an endless range", "range(1 << 60)", "range(1 << 60)", seconds=14.0),
            returning("a number of 100 000 digits", "10**100000", "[10**100000]"),
            returning("64 axes", "torch.zeros([1] * 64)"),
            returning("a generator and a file", "(x for x in [1])", "open('/dev/zero', 'rb')"),
            returning("a class and a module", "torch", "type('X', (), {})"),
            Case(
                "objects that never end",
                plain(
                    "class Endless:\n    def __len__(self): return 1 << 40\n    def __getitem__(self, i): return 2 * i\n"
                    "    shape = property(lambda self: self)\nattention = evens = lambda *a: Endless()\n"
                ),
                0,
                seconds=14.0,
            ),
        ),
    ),
    Threat(
        36,
        "memorise public cases",
        (
            Case(
                "answers to what everybody sees",
                lambda ground: lesson_05(dot_product_scores=memorised())(ground),
                0,
                lesson=SELF_ATTENTION,
            ),
            Case(
                "ask the implementations of a bug hunt too much",
                lesson_05(
                    "kept = []\n",
                    rows_sum_to_one="def rows_sum_to_one(attention):\n    x = torch.zeros(1, 200_000, 1)\n"
                    "    kept.append(attention)\n    attention(x, x, x)\n    return True\n",
                    soft_lookup="kept[0](1, 2, 3) if kept else None\n",
                ),
                0,
                seconds=14.0,
                lesson=SELF_ATTENTION,
            ),
            Look("the order of a bug hunt", lambda ground: _hunt_by_counting(ground)),
        ),
    ),
    Threat(37, "guess hashed answers", (CannotArise("no hash of an answer is released or kept in the notebook"),)),
)


def _hunt_by_counting(ground) -> None:
    """Yes and no by the number of the call, as the order is for the seed that everybody has."""
    exercise = find_exercise("self_attention.rows_sum_to_one")
    right = [bool(exercise.answer(*case.inputs)) for case in exercise.cases(0)]
    text = f"ORDER, n = {right}, [-1]\ndef rows_sum_to_one(attention):\n    n[0] += 1\n"
    text += "    return ORDER[n[0] % len(ORDER)]\n"
    result = ground.mark(lesson_05(rows_sum_to_one=text)(ground), SELF_ATTENTION)
    assert result.points < exercise.points, "a bug hunt is won by counting: its order is the same for every seed"


def _no_law_of_numbers(result: Result) -> None:
    held = {law.name for e in result.exercises for law in e.laws if law.held and "number" in law.name}
    assert not held, f"laws on numbers held for zeros: {held}"


def _nothing_found(result: Result) -> None:
    told = " ".join(exercise.staff for exercise in result.exercises)
    assert "found: []" in told, f"the answers can be seen, or the probe did not run: {told[:400]}"
