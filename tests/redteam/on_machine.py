# ruff: noqa: E501  the student's code stands here as text
"""Attacks on the machine that marks: files, other submissions, processes, memory, time, the network."""

from __future__ import annotations

from grader.referee.result import Result, Verdict
from tests.redteam.case import SELF_ATTENTION, Case, Threat, lesson_05, plain
from tests.redteam.on_checks import LOOT
from tests.redteam.plain_lesson import EVENS, EVENS_POINTS, FULL, RIGHT

TIMED_OUT, MEMORY, DIED = Verdict.TIMED_OUT, Verdict.OUT_OF_MEMORY, Verdict.DIED
START_UP = """
import os, site, sys
poison = "import builtins, sys\\nbuiltins.RT = 1\\ntry:\\n    import torch\\n    torch.softmax = None\\nexcept Exception: pass\\n"
home = os.path.expanduser("~")
folders = {*sys.path, site.getusersitepackages(), home, ".", "/tmp", sys.prefix, home + "/.config/matplotlib",
           home + "/.ipython/profile_default/startup", home + "/.config/python", "@PACKAGES@", "/etc", "/usr/local/lib"}
names = ("sitecustomize.py", "usercustomize.py", "@LEFT@.pth", "00.py", "torch.py", "math.py", "attnlab.py", "grader.py",
         "ipython_config.py", "matplotlibrc", ".pythonrc")
for folder in folders:
    for name in names:
        try:
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, name), "w") as file:
                file.write(poison)
        except OSError:
            pass
"""
SHADOW = """
import importlib, os, sys
for folder in (os.getcwd(), os.path.expanduser("~"), "/tmp"):
    for name in ("torch", "numpy", "math", "attnlab", "grader", "json"):
        open(os.path.join(folder, name + ".py"), "w").write("allclose = lambda *a, **k: True\\nsoftmax = None\\n")
    sys.path.insert(0, folder)
for name in ("torch", "numpy", "math"):
    sys.modules.pop(name, None)
importlib.invalidate_caches()
import torch
"""
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(3, 64):
            try:
                os.close(number)
            except OSError:
                pass
        end = time.time() + 20
        while time.time() < end:
            time.sleep(0.1)
    os._exit(0)
os.wait()
"""
SIGNALS = """
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
for pid in (os.getppid(), 1, 2, 3, @TESTER@, *range(4, 60)):
    if pid in (0, os.getpid()):
        continue
    for attack in (lambda: os.kill(pid, signal.SIGKILL), lambda: os.kill(pid, signal.SIGSTOP),
                   lambda: os.setpriority(os.PRIO_PROCESS, pid, 19), lambda: libc.ptrace(16, pid, 0, 0),
                   lambda: libc.process_vm_readv(pid, None, 0, None, 0, 0), lambda: os.pidfd_open(pid)):
        try:
            attack()
        except OSError:
            pass
"""
SOCKET_BUFFERS = """
import os, socket, time
def fill():
    held, pairs = 0, []
    try:
        for _ in range(50):
            one, other = socket.socketpair()
            pairs.append((one, other))
            try:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
            except OSError:
                pass
            one.setblocking(False)
            try:
                while True:
                    held += one.send(b"x" * 65536)
            except OSError:
                pass
    except OSError:
        pass
    return held >> 20, pairs
ready, tell_it = os.pipe()
if os.fork() == 0:
    theirs = fill()
    os.write(tell_it, str(theirs[0]).encode())
    time.sleep(3)
    os._exit(0)
mine = fill()
total = mine[0] + int(os.read(ready, 20))
def attention(*a):
    raise RuntimeError(f"holds {total} MiB")
"""
CALL_HOME = """
import socket
def call():
    reached = []
    for family, kind, address in ((socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", @TCP_PORT@)),
                                  (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", @UDP_PORT@)),
                                  (socket.AF_UNIX, socket.SOCK_STREAM, "\\0@ABSTRACT@"),
                                  (socket.AF_UNIX, socket.SOCK_STREAM, "@LOCAL@")):
        try:
            with socket.socket(family, kind) as sock:
                sock.settimeout(0.5)
                sock.connect(address)
                sock.send(b"tests")
                reached.append(address)
        except OSError:
            pass
    return reached
call()
def attention(*a):
    return call()
"""


def searching(where: str) -> str:
    """A cell that reads what it can under these places and puts it into what `attention` raises.

    All but the interpreter's own packages, which everybody has: in a clone under /tmp they would take it minutes.
    """
    return LOOT + (
        f"import sys\nfor root in {where}:\n    steps.append(repr(os.path.exists(root)))\n"
        "    for folder, inside, names in os.walk(root):\n"
        "        inside[:] = [name for name in inside if os.path.join(folder, name) != sys.prefix]\n"
        "        for name in names:\n            try:\n"
        "                with open(os.path.join(folder, name), 'rb') as file:\n                    keep(file.read(1 << 20))\n"
        "            except OSError:\n                pass\n"
        "    try:\n        keep(open(root).read())\n    except OSError:\n        pass\nsteps.append('done')\n"
    )


def _probe_ran(ground, result: Result) -> None:
    assert "done" in result.exercises[0].staff, f"the probe did not run to its end: {result.exercises[0].staff[:300]}"


def ending(name: str, how: str, verdict: Verdict, seconds: float = 8.0) -> tuple[Case, Case]:
    """A right notebook with one cell that ends like this; and one whose `evens`, and nothing else, does so."""
    body = "".join(f"    {line}\n" for line in how.splitlines())
    return (
        Case(f"a cell: {name}", plain(how, answers=RIGHT), FULL, seconds=seconds),
        Case(
            f"an answer: {name}",
            plain(answers=RIGHT, evens=f"def evens(count):\n{body}    return []\n"),
            FULL - EVENS_POINTS,
            (verdict, Verdict.FAILED) if verdict is Verdict.ERROR else (verdict,),  # one test swallows every exception
            seconds=seconds,
        ),
    )


def _in_budget(ground, result: Result) -> None:
    assert result.seconds < 13.0, f"took {result.seconds} s of 10 that a submission has"


ON_MACHINE = (
    Threat(
        9,
        "read hidden tests from files",
        (
            Case(
                "the course's folders",
                plain(searching("('@COURSE@/lessons', '@COURSE@', '.', '/proc/self/cwd')")),
                0,
                look=_probe_ran,
            ),
            Case(
                "links and other ways to the same files",
                plain(
                    LOOT + "for n, place in enumerate(('@COURSE@', '/proc/1/root@COURSE@', '/proc/self/root@COURSE@',"
                    " '/../..@COURSE@', '/proc/2/cwd')):\n    try:\n        os.symlink(place, f'/tmp/link{n}')\n"
                    "        for folder, _, names in os.walk(f'/tmp/link{n}/'):\n"
                    "            for name in names:\n                keep(open(os.path.join(folder, name), 'rb').read())\n"
                    "    except OSError:\n        pass\nsteps.append('done')\n"
                ),
                0,
                look=_probe_ran,
            ),
        ),
    ),
    Threat(
        12,
        "rewrite the gradebook",
        (
            Case(
                "gradebook, journal and the master",
                plain(
                    LOOT + "import sqlite3\nfor name in ('gradebook.db', 'grading/journal.db', 'grading/secret',"
                    " 'lessons/plain_attention/plain_attention.ipynb'):\n"
                    "    try:\n        keep(open('@COURSE@/' + name, 'rb').read())\n    except OSError:\n        pass\n"
                    "    for way in (lambda: open('@COURSE@/' + name, 'w').write('x'), lambda: os.remove('@COURSE@/' + name),\n"
                    "                lambda: sqlite3.connect('@COURSE@/' + name).execute('create table x (y)')):\n"
                    "        try:\n            way()\n        except Exception:\n            pass\nsteps.append('done')\n"
                ),
                0,
                leaves=True,
                look=_probe_ran,
            ),
        ),
    ),
    Threat(
        13,
        "read other students' work",
        (
            Case(
                "submitted/", plain(searching("('@COURSE@/submitted', '@OUTSIDE@', '@COURSE@/..')")), 0, look=_probe_ran
            ),
            Case(
                "all that can be read",
                plain(searching("('/home', '/tmp', '/var', '/mnt', '/dev/shm', '/etc', '/run', '/opt', '/srv')")),
                0,
                look=_probe_ran,
            ),
        ),
    ),
    Threat(14, "start-up file for the next student", (Case("in every folder", plain(START_UP), 0, leaves=True),)),
    Threat(
        15,
        "shadow a module with a file",
        (
            Case("torch.py beside the notebook", plain(SHADOW), 0, leaves=True),
            Case("in lesson 05", lesson_05(SHADOW), 0, lesson=SELF_ATTENTION, leaves=True),
        ),
    ),
    Threat(
        21,
        "pickle in the notebook's metadata",
        (
            Case(
                "a pickle where metadata stands",
                lambda ground: (
                    plain(answers=RIGHT)(ground)
                    | {"metadata": {"otter": {"pickle": "gASVIQAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjARleGl0lIWUUpQu"}}}
                ),
                FULL,
            ),
        ),
    ),
    Threat(
        23,
        "kill the process",
        (
            *ending("os._exit", "import os\nos._exit(0)", DIED),
            *ending("segmentation fault", "import ctypes\nctypes.string_at(0)", DIED),
            *ending("SIGKILL", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\nos.abort()", DIED),
            *ending("close the socket", "import os\nos.closerange(3, 128)", DIED),
        ),
    ),
    Threat(
        24,
        "exit() in a cell",
        (
            *ending("exit", "import sys\nsys.exit(0)", Verdict.ERROR),
            *ending("KeyboardInterrupt", "raise KeyboardInterrupt", Verdict.ERROR),
            *ending("GeneratorExit", "raise GeneratorExit", Verdict.ERROR),
            Case("ask the shell to end", plain("exit\nquit()\nget_ipython().ask_exit()", answers=RIGHT), FULL),
        ),
    ),
    Threat(25, "endless loop", ending("a loop", "while True:\n    pass", TIMED_OUT, seconds=14.0)),
    Threat(
        26,
        "a loop that ignores interrupts",
        ending(
            "deaf to signals",
            "import signal\nfor number in range(1, 65):\n    try:\n        signal.signal(number, signal.SIG_IGN)\n"
            "    except (OSError, ValueError):\n        pass\nwhile True:\n    try:\n        while True:\n            pass\n"
            "    except BaseException:\n        pass",
            TIMED_OUT,
            seconds=14.0,
        ),
    ),
    Threat(
        27,
        "memory bomb",
        (
            Case(
                "a cell: in steps",
                plain("rows = []\nfor _ in range(40):\n    rows.append(bytearray(32 << 20))\n", answers=RIGHT),
                FULL,
            ),
            Case(
                "a cell: swallows the error and goes on",
                plain(
                    "rows = []\nfor _ in range(60):\n    try:\n        rows.append(torch.ones(8 << 20))\n"
                    "    except Exception:\n        pass\n",
                    answers=RIGHT,
                ),
                FULL,
            ),
            Case(
                "an answer: a tensor too large",
                plain(answers=RIGHT, evens="def evens(count):\n    return torch.ones(1 << 29).sum()\n"),
                FULL - EVENS_POINTS,
            ),
            Case(
                "four processes share it out",
                plain(
                    "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n        rows = [bytearray(b'x') * (100 << 20) for _ in range(3)]\n"
                    "        time.sleep(2)\n        os._exit(0)\ntime.sleep(2)\n"
                ),
                0,
                seconds=10.0,
            ),
            Case(
                "socket buffers, which belong to no process",
                plain(SOCKET_BUFFERS),
                0,
                look=lambda ground, result: _held_within_the_limit(result),
            ),
        ),
    ),
    Threat(
        28,
        "fork bomb",
        (
            Case(
                "processes up to the limit",
                plain(
                    "import os, time\nmade = 0\nfor _ in range(200):\n    try:\n        pid = os.fork()\n    except OSError:\n        break\n"
                    "    if pid == 0:\n        time.sleep(2)\n        os._exit(0)\n    made += 1\n"
                    "def attention(*a):\n    raise RuntimeError(f'made {made} processes')\n"
                ),
                0,
                leaves=True,
                look=lambda ground, result: _few(result),
            ),
            Case(
                "threads up to the limit",
                plain(
                    "import threading, time\nmade = 0\ntry:\n    for _ in range(300):\n"
                    "        threading.Thread(target=time.sleep, args=(2,), daemon=True).start()\n        made += 1\n"
                    "except RuntimeError:\n    pass\n"
                    "def attention(*a):\n    raise RuntimeError(f'made {made} processes')\n"
                ),
                0,
                leaves=True,
                look=lambda ground, result: _few(result),
            ),
        ),
    ),
    Threat(
        29,
        "a process left running",
        (
            Case("a daemon of two forks, in a cell", plain(DAEMON, answers=RIGHT), FULL, leaves=True),
            Case(
                "a daemon of two forks, in an answer",
                plain(
                    answers=RIGHT,
                    words="def words(text):\n"
                    + "".join(f"    {line}\n" for line in DAEMON.splitlines())
                    + "    return len(text.split())\n",
                ),
                FULL,
                leaves=True,
            ),
            Case(
                "a shell in the background",
                plain("import subprocess\nsubprocess.Popen(['sh', '-c', 'sleep 20 & sleep 20'])\n", answers=RIGHT),
                FULL,
                leaves=True,
            ),
        ),
    ),
    Threat(
        30,
        "a thread that changes its answer",
        (
            Case(
                "right only after a while",
                plain(
                    "import threading, time\n"
                    "def attention(query, key, value):\n    out = torch.zeros(*query.shape[:-1], value.shape[-1])\n"
                    "    def mend():\n        time.sleep(0.02)\n"
                    "        out.copy_(torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, dim=-1) @ value)\n"
                    "    threading.Thread(target=mend).start()\n    return out\n"
                ),
                0,
            ),
            Case(
                "another value at every look",
                plain(
                    "class Moving:\n    n = 0\n    def __len__(self):\n        Moving.n += 1\n        return Moving.n\n"
                    "    def __getitem__(self, place):\n        Moving.n += 1\n        return Moving.n\n"
                    "    shape = property(lambda self: torch.Size([2, 3, 6]))\nmoving = Moving()\nattention = lambda *a: moving\n"
                ),
                0,
            ),
        ),
    ),
    Threat(
        31,
        "30 MB of output",
        (
            Case(
                "in a cell",
                plain(
                    "import sys\nfor _ in range(30):\n    print('x' * (1 << 20))\n    sys.stderr.write('y' * (1 << 20))\n",
                    answers=RIGHT,
                ),
                FULL,
            ),
            Case(
                "in every answer",
                plain(
                    answers=RIGHT,
                    evens="def noise():\n    for _ in range(5):\n        print('x' * (1 << 20))\n"
                    + EVENS.replace("    if count", "    noise()\n    if count"),
                ),
                FULL,
            ),
            Case(
                "to the descriptors",
                plain(
                    "import os\nfor _ in range(30):\n    os.write(1, b'x' * (1 << 20)), os.write(2, b'x' * (1 << 20))\n",
                    answers=RIGHT,
                ),
                FULL,
            ),
            Case(
                "as shown things",
                plain(
                    "from IPython.display import HTML, display\nfor _ in range(30):\n    display(HTML('x' * (1 << 20)))\n",
                    answers=RIGHT,
                ),
                FULL,
            ),
        ),
    ),
    Threat(
        33,
        "network",
        (
            Case("listeners of this machine", plain(CALL_HOME), 0),
            Case(
                "names, raw sockets, a server of one's own",
                plain(
                    "import socket\nfor way in (lambda: socket.getaddrinfo('localhost.invalid', 80),\n"
                    "            lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),\n"
                    "            lambda: socket.socket(16, socket.SOCK_RAW, 0), lambda: socket.create_server(('0.0.0.0', 0))):\n"
                    "    try:\n        way()\n    except OSError:\n        pass\n"
                ),
                0,
            ),
        ),
    ),
    Threat(
        34,
        "hidden inputs out through feedback",
        (
            Case("print them", plain(words="def words(text):\n    print(text, flush=True)\n    return len(text)\n"), 0),
            Case("raise them", plain(words="def words(text):\n    raise ValueError(text)\n"), 0),
            Case("return them", plain(words="def words(text):\n    return text\n"), 0),
            Case(
                "name a later error after them",
                plain(
                    words="seen = []\ndef words(text):\n    seen.append(text)\n    return -1\n",
                    last="raise type(seen[0].split()[0].replace('-', '_') if seen else 'nothing', (Exception,), {})\n",
                ),
                0,
                look=lambda ground, result: _nothing_on_the_page(ground, result),
            ),
            Case(
                "count characters in a later cell",
                plain(
                    words="seen = []\ndef words(text):\n    seen.append(text)\n    return -1\n",
                    last="import sys\nsys.stdout.write('x' * 1_234_567)\n",
                ),
                0,
                look=lambda ground, result: _no_number_on_the_page(result),
            ),
        ),
    ),
    Threat(
        48,
        "magics",
        (
            Case(
                "allowed: a right notebook with magics",
                plain(
                    "%matplotlib inline\n%config InlineBackend.figure_format = 'svg'\n%time 1 + 1\n!echo hello\n",
                    answers=RIGHT,
                ),
                FULL,
                look=lambda ground, result: _no_error_in(result, "%matplotlib"),
            ),
            Case("allowed: above the imports", plain(answers=RIGHT, magic=True), FULL, lesson="plain_magic"),
            Case(
                "!cat, !find, !env, %%writefile, %run",
                plain(
                    LOOT
                    + "ip = get_ipython()\nfor line in ('!cat @COURSE@/gradebook.db', '!find /home /tmp /etc @COURSE@ -type f -exec cat {} +',"
                    " '!env', '!ls -la /proc/1/fd /proc/1/root'):\n    try:\n        keep(str(ip.getoutput(line[1:])))\n    except Exception:\n        pass\n"
                    "steps.append('done')\n",
                    first="%%writefile torch.py\nallclose = None\n",
                    last="%run torch.py\n",
                ),
                0,
                seconds=10.0,
                look=_probe_ran,
            ),
        ),
    ),
    Threat(
        49,
        "LD_PRELOAD and PYTHON… in the environment",
        (
            Case(
                "read it",
                plain(
                    LOOT
                    + "keep(repr(dict(os.environ)))\nkeep(open('/proc/self/environ').read() if os.access('/proc/self/environ', 4) else '')\nsteps.append('done')\n"
                ),
                0,
                look=_probe_ran,
            ),
            Case(
                "set it for the next one",
                plain(
                    "import os, ctypes\nfor n in ('LD_PRELOAD', 'PYTHONPATH', 'PYTHONSTARTUP'):\n    os.environ[n] = '/tmp/@LEFT@.so'\n    ctypes.CDLL(None).setenv(n.encode(), b'/tmp/@LEFT@.so', 1)\n"
                ),
                0,
                leaves=True,
            ),
        ),
    ),
    Threat(
        50,
        "sitecustomize, .pth, user site",
        (
            Case(
                "written by a shell",
                plain(
                    "import subprocess, sys\nfor p in [*sys.path, '@PACKAGES@', '/root', '/etc']:\n    subprocess.run(['sh', '-c', f'echo import os > {p}/sitecustomize.py; touch {p}/@LEFT@.pth'], capture_output=True)\n"
                ),
                0,
                leaves=True,
            ),
        ),
    ),
    Threat(
        51,
        "signals and ptrace against the grader",
        (
            Case("every process in sight", plain(SIGNALS), 0, leaves=True),
            Case(
                "kill(-1) and the process group",
                plain(
                    "import os, signal\nsignal.signal(15, signal.SIG_IGN)\nfor call in (lambda: os.kill(-1, 15), lambda: os.killpg(0, 15), lambda: os.kill(-1, 19)):\n    try:\n        call()\n    except OSError:\n        pass\n"
                ),
                0,
                leaves=True,
            ),
        ),
    ),
    Threat(
        60,
        "reach the engine",
        (
            Case(
                "a scheduler that listens here",
                plain(
                    CALL_HOME
                    + "import os\nfor port in (8786, 8787, 8788):\n    try:\n        socket.create_connection(('127.0.0.1', port), 0.5)\n        raise SystemExit('reached')\n    except OSError:\n        pass\n"
                ),
                0,
            ),
        ),
    ),
    Threat(
        61,
        "exhaust the disk",
        (
            Case(
                "fill every folder",
                plain(
                    "import os\nfor folder in ('.', os.path.expanduser('~'), '/tmp', '/dev/shm'):\n    for n in range(20):\n"
                    "        try:\n            with open(f'{folder}/@LEFT@-{n}', 'wb') as file:\n"
                    "                for _ in range(20):\n                    file.write(b'x' * (1 << 20))\n"
                    "        except OSError:\n            pass\n",
                    answers=RIGHT,
                ),
                FULL,
                leaves=True,
            ),
            Case(
                "100 000 empty files",
                plain(
                    "import os\ntry:\n    for n in range(100_000):\n        open(f'/tmp/@LEFT@-{n}', 'w').close()\nexcept OSError:\n    pass\n",
                    answers=RIGHT,
                ),
                FULL,
                leaves=True,
            ),
        ),
    ),
    Threat(
        62,
        "slow, just under the limit",
        (
            Case(
                "every cell and answer takes its time",
                plain(
                    "import time\ntime.sleep(2.5)\n",
                    first="import time\ntime.sleep(2.5)\n",
                    attention="import time\ndef attention(query, key, value):\n    time.sleep(2.5)\n    return query\n",
                ),
                0,
                seconds=14.0,
                look=_in_budget,
            ),
            Case(
                "a thousand short cells",
                lambda ground: _many_cells(plain()(ground)),
                0,
                seconds=14.0,
                look=_in_budget,
            ),
        ),
    ),
)


def _many_cells(notebook: dict) -> dict:
    slow = [
        {"cell_type": "code", "metadata": {}, "source": f"import time\nn = {n}\ntime.sleep(0.09)"} for n in range(1000)
    ]
    notebook["cells"] = slow + notebook["cells"]
    return notebook


def _held_within_the_limit(result: Result) -> None:
    told = result.exercises[0].staff
    assert "holds " in told, f"the probe did not run to its end: {told}"
    held = int(told.split("holds ")[1].split()[0])
    assert held < 600, f"{held} MiB are held in sockets besides the memory that is counted; the limit is 900 MiB"


def _few(result: Result) -> None:
    """Stopped by the limit on processes; or by that on memory, where each process counts with what it shares."""
    told = result.exercises[0].staff
    if "made " in told:
        made = int(told.split("made ")[1].split()[0])
        assert 0 < made <= 32, f"made {made} processes or threads, the limit is 32"
    else:
        assert "out of memory" in [cell.error for cell in result.cells], f"neither limit was met: {told}"


def _nothing_on_the_page(ground, result: Result) -> None:
    from grader.pages.feedback import feedback_page

    assert ground.secrets["inputs"].replace("-", "_") not in feedback_page(result), (
        "a hidden input is on the page, as an error's name"
    )


def _no_number_on_the_page(result: Result) -> None:
    assert not any("1,234,567" in note for note in result.notes), "a number of the student's choice is on the page"


def _no_error_in(result: Result, start: str) -> None:
    errors = [cell.error for cell in result.cells if cell.text.startswith(start) and cell.error]
    assert not errors, f"a cell of magics ended in {errors}"
