"""One worker of the grader, a course with secrets in every place where a secret can lie, and listeners for calls home.

`Ground.run` hands in a case and says what is wrong: other points than are fair, a secret in what came back, a process
or a file left behind, a place that was reached, too much time.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from grader.jail.limits import Limits
from grader.pages.feedback import feedback_page
from grader.referee.pair import Pair, PairDied, Setup
from grader.referee.result import Result
from tests.redteam import plain_lesson
from tests.redteam.case import ROOT, SELF_ATTENTION, SELF_ATTENTION_FULL, Case, Look, lesson_05, plain

SECRET = re.compile(r"RT-[A-Z]+-[0-9a-f]{16}")
LEFT = "rt-left"  # what attacks call their files
LIMITS = Limits(memory_mb=900, processes=32, scratch_mb=24, file_mb=16, open_files=128, cpu_seconds=20)
BUDGET = {"cell": 3.0, "check": 3.0, "submission": 10.0}
START_S = 120.0
MARGIN_S = 3.0


@dataclass
class Tried:
    """What came of a case. problems is empty where all is well."""

    name: str
    verdict: str = ""
    points: float | None = None
    fair: float | None = None
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


class Ground:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="redteam-"))
        self.course = self.folder / "course"
        kinds = ("tests", "inputs", "other", "gradebook", "journal", "environment", "descriptor", "home", "outside")
        self.secrets = {kind: f"RT-{kind.upper()}-{secrets.token_hex(8)}" for kind in kinds}
        self.seed = 1_000_000_000 + secrets.randbelow(10**9)
        self.listeners = _Listeners(f"rt-{secrets.token_hex(6)}", self.folder)
        self._write_course()
        self._untouched = self._digest()
        self._plant()
        self.pair: Pair | None = None
        self._since_honest = 0

    def _write_course(self) -> None:
        places = {
            "submitted/other/plain_attention/plain_attention.ipynb": "other",
            "gradebook.db": "gradebook",
            "grading/journal.db": "journal",
            "grading/secret": "journal",
        }
        for place, kind in places.items():
            path = self.course / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.secrets[kind])
        own = {name: ROOT / name / SELF_ATTENTION / f"{SELF_ATTENTION}.ipynb" for name in ("lessons", "solutions")}
        self.lessons = {SELF_ATTENTION: (own["lessons"], own["solutions"])}
        for slug in (plain_lesson.SLUG, plain_lesson.MAGIC_SLUG):
            self.lessons[slug] = plain_lesson.write(self.course / "lessons" / slug, slug, self.secrets)
        (self.folder / "home").mkdir()
        (self.folder / "home" / ".secret").write_text(self.secrets["home"])
        (self.folder / "outside").write_text(self.secrets["outside"])

    def _plant(self) -> None:
        """What a worker started from here could hand down: the environment, and an open file."""
        self._before = {name: os.environ.get(name) for name in ("RT_SECRET", "HOME")}
        os.environ.update(RT_SECRET=self.secrets["environment"], HOME=str(self.folder / "home"))
        self.descriptor = os.open(self.folder / "descriptor", os.O_RDWR | os.O_CREAT)
        os.write(self.descriptor, self.secrets["descriptor"].encode())
        os.set_inheritable(self.descriptor, True)

    def close(self) -> None:
        if self.pair is not None:
            self.pair.kill()
        for name, value in self._before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        os.close(self.descriptor)
        self.listeners.close()
        shutil.rmtree(self.folder)

    def placed(self, text: str) -> str:
        """The text with the places of this ground in it: an attack may know where everything lies."""
        words = {"COURSE": self.course, "OUTSIDE": self.folder / "outside", "PACKAGES": ROOT}
        words |= {"TCP_PORT": self.listeners.tcp_port, "UDP_PORT": self.listeners.udp_port}
        words |= {"ABSTRACT": self.listeners.abstract, "LOCAL": self.listeners.local, "LEFT": LEFT}
        words |= {"TESTER": os.getpid()}
        for word, value in words.items():
            text = text.replace(f"@{word}@", str(value))
        return text

    # Running.

    def run(self, case: Case | Look) -> Tried:
        tried = Tried(case.name)
        if isinstance(case, Look):
            _ask(tried, lambda: case.look(self))
            return tried
        result = self._mark(case, tried)
        if result is not None:
            self._judge(case, result, tried)
        self._look_around(tried)
        self._since_honest += 1
        if case.leaves or self._since_honest >= 10 or result is None:
            tried.problems += self.honest()
        return tried

    def honest(self) -> list[str]:
        """Do honest submissions get their points now?"""
        self._since_honest = 0
        full, some = plain_lesson.FULL, plain_lesson.NO_SCALE_POINTS
        known = [
            Case("an honest right one", plain(answers=plain_lesson.RIGHT), full),
            Case("an honest one without the scale", plain(answers=plain_lesson.NO_SCALE), some),
            Case("an honest right lesson 05", lesson_05(right=True), SELF_ATTENTION_FULL, lesson=SELF_ATTENTION),
        ]
        problems = []
        for case in known:
            tried = Tried(case.name)
            result = self._mark(case, tried)
            if result is not None:
                self._judge(case, result, tried)
            problems += [f"next, {case.name}: {problem}" for problem in tried.problems]
        return problems

    def mark(self, text: dict | bytes, lesson: str = plain_lesson.SLUG, seconds: float = 30.0) -> Result:
        """The result of a notebook. Raises PairDied."""
        data = text if isinstance(text, bytes) else json.dumps(text).encode()
        pair = self._ready()
        pair.send("student", lesson, hashlib.sha256(data).hexdigest(), data, self.seed, "seed")
        return pair.receive(seconds)

    def _ready(self) -> Pair:
        if self.pair is None:
            lessons, solutions = ({slug: str(paths[i]) for slug, paths in self.lessons.items()} for i in (0, 1))
            self.pair = Pair(Setup(lessons, solutions, [str(self.folder)], limits=asdict(LIMITS), budget=BUDGET))
            self.pair.receive(START_S)
            self.mark(plain()(self), plain_lesson.SLUG, START_S)  # the first of a lesson is marked after a rehearsal
            self.mark(lesson_05()(self), SELF_ATTENTION, START_S)
        return self.pair

    def _mark(self, case: Case, tried: Tried) -> Result | None:
        tried.fair = case.fair
        text = case.text(self)
        self._ready()
        start = time.monotonic()
        try:
            return self.mark(text, case.lesson, case.seconds + MARGIN_S)
        except PairDied as died:
            tried.verdict = "the checker died or hung"
            tried.problems.append(f"the checker was lost: {died}")
            self.pair.kill()
            self.pair = None
            return None
        finally:
            tried.seconds = time.monotonic() - start

    # Judging.

    def _judge(self, case: Case, result: Result, tried: Tried) -> None:
        tried.verdict, tried.points = str(result.verdict), result.points
        if tried.points > case.fair:
            tried.problems.append(f"undeserved points: {tried.points:g}, fair is {case.fair:g}")
        if tried.points < case.fair:
            tried.problems.append(f"refused fair points: {tried.points:g}, fair is {case.fair:g}")
        for exercise in result.exercises:
            short = exercise.points is None or exercise.points < exercise.max_points
            if short and exercise.verdict not in case.verdicts:
                tried.problems.append(f"{exercise.grade_id} ended in {exercise.verdict!r}: {exercise.staff[:200]}")
        tried.problems += self._leaks(result)
        if tried.seconds > case.seconds + MARGIN_S:
            tried.problems.append(f"took {tried.seconds:.1f} s, more than {case.seconds:g}")
        if case.look is not None:
            _ask(tried, lambda: case.look(self, result))

    def _leaks(self, result: Result) -> list[str]:
        """Secrets in anything that the student's code could write into; hidden inputs and tests on the page."""
        data = json.loads(result.to_json())
        data["cells"] = [cell for cell in data["cells"] if cell["own"]]
        told = json.dumps(data)
        mine = {kind: secret for kind, secret in self.secrets.items() if kind != "inputs"}
        mine["seed"] = str(self.seed)
        leaks = [f"the student's code read the secret of {kind}" for kind, secret in mine.items() if secret in told]
        page = feedback_page(result)
        shown = [kind for kind in ("tests", "inputs") if self.secrets[kind] in page]
        return leaks + [f"the feedback page shows the {kind}" for kind in shown]

    def _look_around(self, tried: Tried) -> None:
        """Processes, files and calls home."""
        if self.pair is not None and self.pair.process.poll() is None:
            tried.problems += self._survivors()
        for folder in (Path("/tmp"), Path("/dev/shm"), Path.home(), self.folder):
            found = [str(path) for path in _listed(folder) if LEFT in path.name]
            tried.problems += [f"a file was left outside: {path}" for path in found]
            for path in found:
                Path(path).unlink(missing_ok=True)
        if self._digest() != self._untouched:
            tried.problems.append("the course folder was changed")
        tried.problems += self.listeners.calls()

    def _survivors(self) -> list[str]:
        """What descends from the worker besides the jail's outer process and the nursery."""
        for patience in (0.0, 0.2, 0.5):
            time.sleep(patience)
            with suppress(psutil.NoSuchProcess):
                family = psutil.Process(self.pair.process.pid).children(recursive=True)
                strangers = [p for p in family if "grader.referee.nursery" not in " ".join(p.cmdline())]
                extra = [p for p in family if p not in strangers][2:]
                if not strangers + extra:
                    return []
        return [f"a process was left: {p}" for p in strangers + extra]

    def _digest(self) -> str:
        paths = sorted(path for path in self.course.rglob("*") if path.is_file())
        return hashlib.sha256(b"".join(str(p).encode() + p.read_bytes() for p in paths)).hexdigest()


def _listed(folder: Path) -> list[Path]:
    with suppress(OSError):
        return list(folder.iterdir())
    return []


def _ask(tried: Tried, look) -> None:
    try:
        look()
    except AssertionError as error:
        tried.problems.append(str(error) or "an assertion failed")
    except Exception as error:
        tried.problems.append(f"{type(error).__name__}: {error}")


class _Listeners:
    """Sockets of ours that an attack may try to reach: TCP, UDP, an abstract name and a path."""

    def __init__(self, name: str, folder: Path) -> None:
        self.abstract, self.local = name, str(folder / "listener")
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._named = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for sock, address in zip(self._named, ("\0" + name, self.local), strict=True):
            sock.bind(address)
            sock.listen()
        for sock in self._all():
            sock.setblocking(False)
        self.tcp_port, self.udp_port = self._tcp.getsockname()[1], self._udp.getsockname()[1]

    def _all(self) -> list[socket.socket]:
        return [self._tcp, self._udp, *self._named]

    def calls(self) -> list[str]:
        reached = []
        for sock in self._all():
            with suppress(BlockingIOError):
                if sock is self._udp:
                    sock.recv(100)
                else:
                    sock.accept()[0].close()
                reached.append(f"a listener outside was reached: {sock.getsockname()!r}")
        return reached

    def close(self) -> None:
        for sock in self._all():
            sock.close()
