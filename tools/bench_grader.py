"""The grader beside `nbgrader autograde`: the same submissions of one lesson, on the same cores, in turn, in one run.

python tools/bench_grader.py [--rounds 3] [--nbgrader 6] [--submissions 100] [--json FILE]
    Each round runs nbgrader on the first few submissions (a whole class takes it half an hour), then this grader on
    all of them and on a tenth, without and with the cells that no mark needs; each time from a fresh course folder.
python tools/bench_grader.py --flat 10 100 1000
    Memory and cost as the class grows; beyond --submissions the same files come again under other names.

The submissions are honest ones, the same in every run: of each exercise the solution, another right way of its bank,
a mistake of its bank, or nothing. Time is that of the whole command, from its start to its end. What does not grow
with the class (imports, the checkers' start, making the gradebook) is taken apart by running two sizes: the cost of
a submission is the difference by the difference in size, for both graders.

Processor time is that of every process that the command started. This program makes itself the reaper of orphans
(PR_SET_CHILD_SUBREAPER), so that what the kernel hands up when a parent ends without waiting, as a killed checker
does with its nursery, arrives here; the kernel's own sums (wait4) of the command and of each orphan are added up. A
process whose parent has waited for it is in its parent's sum, so each counts once and none is missed.

Memory is the sum, over all processes of the command, of each one's share (PSS) every 0.2 s; the largest sum counts.
A student process cannot be looked into by an ordinary user: there its resident memory less what is shared stands in.
Looking takes time of its own, so memory is measured in runs apart (--flat), whose wall time is not compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from grader.folder import Folder  # noqa: E402
from grader.jail.syscalls import PR_SET_CHILD_SUBREAPER, prctl  # noqa: E402
from grader.pipeline.kernel import environment  # noqa: E402
from grader.pipeline.release import CONFIG, generate  # noqa: E402
from grader.sample.draft import Draft  # noqa: E402

LESSON, MAIN = "05_self_attention", "attention"
EVERY_S = 0.2
ORPHANS_S = 60.0
TARGETS = {"a second": 40, "CPU": 30}  # times nbgrader's
OURS, EVERY, THEIRS = "grader", "grader --every-cell", "nbgrader autograde"
MARKED = {OURS: (), EVERY: ("--every-cell",)}


# What is handed in.


def write_course(course: Path, submissions: int) -> None:
    """lessons/, solutions/ and submitted/ of a class of so many."""
    from attnlab.checks import lessons

    for folder in ("lessons", "solutions"):
        shutil.copytree(ROOT / folder / LESSON, course / folder / LESSON)
    (lesson,) = (lesson for lesson in lessons() if lesson.slug == LESSON)
    solved = Draft.of(lesson, ROOT, MAIN)
    for i in range(submissions):
        draft = solved.copy()
        rng = random.Random(i)
        for name, exercise in draft.exercises.items():
            answer_honestly(draft, name, exercise, rng)
        draft.insert(len(draft.cells), f"# {student(i)}")
        path = handed_in(course, student(i))
        path.parent.mkdir(parents=True)
        path.write_bytes(draft.to_bytes())


def answer_honestly(draft: Draft, name: str, exercise, rng: random.Random) -> None:
    """Half are right, each in its way; a third make one of the bank's mistakes; the rest is not written yet."""
    lot = rng.random()
    if lot < 0.25 and exercise.also_right:
        draft.right(name, rng.randrange(len(exercise.also_right)))
    elif 0.5 < lot < 0.85:
        draft.mistake(name, rng.choice(exercise.mistakes))
    elif lot > 0.85:
        draft.stub(name)


def student(i: int) -> str:
    return f"student{i:04}"


def handed_in(course: Path, name: str) -> Path:
    return course / "submitted" / name / LESSON / f"{LESSON}.ipynb"


def fresh_copy(course: Path, to: Path, count: int) -> Path:
    """The course with `count` submissions: its own, over and over under other names."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(course, to, ignore=shutil.ignore_patterns("submitted"))
    own = sorted(path.name for path in (course / "submitted").iterdir())
    for i in range(count):
        path = handed_in(to, student(i))
        path.parent.mkdir(parents=True)
        shutil.copyfile(handed_in(course, own[i % len(own)]), path)
    return to


# Measuring.


@dataclass
class Run:
    """One command, measured."""

    submissions: int
    wall_s: float
    cpu_s: float
    peak_mb: float = 0.0


def measured(command: Sequence[str], submissions: int, memory: bool = False, **more) -> Run:
    """Run a command to its end, and all that it started. Raises RuntimeError where it fails."""
    prctl(PR_SET_CHILD_SUBREAPER, 1, what="PR_SET_CHILD_SUBREAPER")
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL, **more)
        sampler = Sampler(process.pid) if memory else None
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = sampler.stop() if sampler else 0.0
        cpu = usage.ru_utime + usage.ru_stime + cpu_of_orphans()
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{said.read().decode()[-3000:]}")
    return Run(submissions, round(wall, 3), round(cpu, 3), round(peak, 1))


def cpu_of_orphans() -> float:
    """Wait for what the command has left behind, and sum up its processor time. Raises TimeoutError."""
    total, end = 0.0, time.monotonic() + ORPHANS_S
    while time.monotonic() < end:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return total
        total += usage.ru_utime + usage.ru_stime if pid else 0.0
        time.sleep(0 if pid else 0.02)
    left = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    raise TimeoutError(f"Expected the command to leave nothing running, got {left}.")


class Sampler(threading.Thread):
    """Looks at the memory of a process and all below it until it is stopped; `stop` returns the peak in MiB."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.root, self.peak, self._stop_asked = psutil.Process(pid), 0.0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stop_asked.wait(EVERY_S):
            try:
                everybody = [self.root, *self.root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self.peak = max(self.peak, sum(share_mb(process.pid) for process in everybody))

    def stop(self) -> float:
        self._stop_asked.set()
        self.join()
        return self.peak


def share_mb(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024
    except (PermissionError, StopIteration):
        pass
    except OSError:
        return 0.0  # it has ended
    try:
        with open(f"/proc/{pid}/statm") as file:
            _, resident, shared, *_ = map(int, file.read().split())
        return (resident - shared) * os.sysconf("SC_PAGESIZE") / 2**20
    except OSError:
        return 0.0


# The two graders.


class Bench:
    def __init__(self, folder: Path, submissions: int, workers: int):
        self.folder, self.submissions, self.workers = folder, submissions, workers
        self.course, self.theirs = folder / "course", folder / "nbgrader-course"
        write_course(self.course, submissions)
        Folder(self.course).secret()  # all runs draw the same inputs
        shutil.copytree(self.course, self.theirs, ignore=shutil.ignore_patterns("lessons"))
        generate([LESSON], self.theirs)
        (self.theirs / "grader").mkdir()
        shutil.copy(CONFIG, self.theirs / "grader")

    def grade(self, kind: str, count: int, memory: bool = False) -> tuple[Run, dict]:
        """Mark `count` submissions with this grader; what it took, and the marks."""
        course = fresh_copy(self.course, self.folder / "now", count)
        words = ["grade", LESSON, "--course", str(course), "--workers", str(self.workers), *MARKED[kind]]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        run = measured([sys.executable, "-m", "grader", *words], count, memory, cwd=ROOT, env=env)
        return run, marks(course)

    def autograde(self, count: int) -> tuple[Run, dict]:
        """Mark the first `count` with nbgrader."""
        course = fresh_copy(self.theirs, self.folder / "now", count)
        home = {"HOME": str(self.folder / "home"), "JUPYTER_CONFIG_DIR": str(self.folder / "home")}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        env = environment(ROOT, self.folder / "progress.json", PATH=path, **home)
        command = [sys.executable, "-m", "nbgrader", "autograde", LESSON]
        return measured(command, count, cwd=course / "grader", env=env), marks(course)


def marks(course: Path) -> dict[str, dict[str, float | None]]:
    """student -> grade cell -> automatic points, from the gradebook that either has written."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "attnlab") as book:
        return {
            submission.student.id: {g.cell.name: g.auto_score for book_ in submission.notebooks for g in book_.grades}
            for submission in book.find_assignment(LESSON).submissions
        }


# Speed.


@dataclass
class Cost:
    """Of one grader: medians over the rounds."""

    kind: str
    submissions: int
    a_second: float  # whole commands
    wall_s_each: float  # without what does not grow
    cpu_s_each: float
    start_wall_s: float
    start_cpu_s: float

    @property
    def rate(self) -> float:
        """Submissions a second, start-up apart."""
        return 1 / self.wall_s_each


def cost(kind: str, small: list[Run], large: list[Run]) -> Cost:
    pairs = list(zip(small, large, strict=True))
    more = large[0].submissions - small[0].submissions

    def median(value: Callable[[Run, Run], float]) -> float:
        return statistics.median(value(a, b) for a, b in pairs)

    wall, cpu = median(lambda a, b: (b.wall_s - a.wall_s) / more), median(lambda a, b: (b.cpu_s - a.cpu_s) / more)
    return Cost(
        kind,
        large[0].submissions,
        median(lambda a, b: b.submissions / b.wall_s),
        wall,
        cpu,
        median(lambda a, b: a.wall_s) - wall * small[0].submissions,
        median(lambda a, b: a.cpu_s) - cpu * small[0].submissions,
    )


def speed(bench: Bench, rounds: int, subset: int) -> dict:
    """All of them, in turn. `subset`: how many nbgrader marks."""
    tenth = max(bench.submissions // 10, 1)
    runs: dict[str, tuple[list[Run], list[Run]]] = {kind: ([], []) for kind in (THEIRS, OURS, EVERY)}
    found: dict[str, dict] = {}
    for number in range(rounds):
        for kind, (small, large) in runs.items():
            sizes = (1, subset) if kind == THEIRS else (tenth, bench.submissions)
            for kept, count in zip((small, large), sizes, strict=True):
                run, found[kind] = bench.autograde(count) if kind == THEIRS else bench.grade(kind, count)
                kept.append(run)
                took = f"{run.wall_s:6.1f} s, {run.cpu_s:6.1f} s of processor time"
                print(f"round {number + 1}/{rounds}  {kind:20} {count:4} submissions  {took}", flush=True)
    costs = {kind: cost(kind, small, large) for kind, (small, large) in runs.items()}
    differing = {
        "nbgrader and grader": different(found[THEIRS], found[OURS]),
        "every cell run and not": different(found[EVERY], found[OURS]),
    }
    show_speed(costs, differing, len(found[THEIRS]), len(found[EVERY]))
    return {
        "costs": [asdict(each) for each in costs.values()],
        "different marks": differing,
        "runs": {kind: [asdict(run) for kept in pair for run in kept] for kind, pair in runs.items()},
    }


def different(one: dict, other: dict) -> list[str]:
    """Whose marks differ, among those that both have marked, cell by cell."""
    return [f"{name}: {one[name]} and {other[name]}" for name in one if one[name] != other.get(name)]


def show_speed(costs: dict[str, Cost], differing: dict[str, list[str]], compared: int, of_all: int) -> None:
    theirs = costs[THEIRS]
    print(f"\n{'':20} {'marked':>6} {'a second':>9} {'start-up s':>11} {'then s each':>12} {'CPU s each':>11}")
    for each in costs.values():
        start, wall, cpu = f"{each.start_wall_s:.1f}", f"{each.wall_s_each:.3f}", f"{each.cpu_s_each:.3f}"
        print(f"{each.kind:20} {each.submissions:>6} {each.a_second:>9.2f} {start:>11} {wall:>12} {cpu:>11}")
    print(f"\nnbgrader marked {theirs.submissions} of them: its figures for all are taken to be the same each.")
    for kind in (OURS, EVERY):
        whole = costs[kind].a_second * (theirs.start_wall_s / costs[kind].submissions + theirs.wall_s_each)
        times = {"a second": whole, "CPU": theirs.cpu_s_each / costs[kind].cpu_s_each}
        print(
            f"{kind}: {times['a second']:.0f} times nbgrader's submissions a second with both start-ups "
            f"({costs[kind].rate * theirs.wall_s_each:.0f} without), {times['CPU']:.0f} times less processor time "
            f"each ({told(times)})"
        )
    for what, rows in differing.items():
        count = compared if "nbgrader" in what else of_all
        print(f"marks, {what}: {'the same' if not rows else f'{len(rows)} differ'} ({count} submissions)")
        for row in rows:
            print(f"    {row}")


def told(times: dict[str, float]) -> str:
    return ", ".join(f"{'over' if times[what] >= least else 'UNDER'} {least}" for what, least in TARGETS.items())


# As the class grows.


def flat(bench: Bench, sizes: Sequence[int]) -> list[dict]:
    """Memory and processor time for classes of these sizes."""
    print(f"\n{'submissions':>11} {'peak MiB':>9} {'CPU s':>8} {'wall s':>8}    CPU s each, from the size before")
    runs: list[Run] = []
    for size in sizes:
        run, _ = bench.grade(OURS, size, memory=True)
        more = ""
        if runs:
            more = f"{(run.cpu_s - runs[-1].cpu_s) / (size - runs[-1].submissions):.3f}"
        runs.append(run)
        print(f"{size:>11} {run.peak_mb:>9.0f} {run.cpu_s:>8.1f} {run.wall_s:>8.1f}    {more}", flush=True)
    return [asdict(run) for run in runs]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", type=int, default=100)
    parser.add_argument("--nbgrader", type=int, default=6, help="how many of them nbgrader marks (at least 2)")
    parser.add_argument("--rounds", type=int, default=3, help="0 leaves the speed out")
    parser.add_argument("--cores", type=int, default=2, help="for either grader; this one gets as many workers")
    parser.add_argument("--flat", type=int, nargs="*", default=[], help="sizes of the class, such as 10 100 1000")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[: given.cores]
    os.sched_setaffinity(0, cores)
    about = {"cores": len(cores), "machine": platform.machine(), "python": platform.python_version()}
    about |= {name: version(name) for name in ("torch", "nbgrader")} | {"load before": os.getloadavg()[0]}
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    found: dict = {"about": about}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), given.submissions, len(cores))
        if given.rounds:
            found["speed"] = speed(bench, given.rounds, min(given.nbgrader, given.submissions))
        if given.flat:
            found["flat"] = flat(bench, given.flat)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if any(found.get("speed", {}).get("different marks", {}).values()) else 0


if __name__ == "__main__":
    sys.exit(main())
