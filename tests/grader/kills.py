"""Kills the grader at random moments, and looks whether anything is lost, doubled or changed.

    python -m tests.grader.kills [KILLS] [STUDENTS] [SEED]

A class is graded once undisturbed. Then again and again it is started, and after a random time one of its processes
gets SIGKILL: the supervisor, a checker, a nursery, the process outside it, or a student process. When it has been
killed often enough it is left to finish, and its books are held against the undisturbed ones.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from grader.books.journal import Journal
from grader.folder import Folder
from tests.grader.course import DOUBLE, MEAN, STUB, booked, hand_in, make_course, marks

ANSWERS = (
    (DOUBLE, MEAN),
    (DOUBLE, "def mean(x):\n    return x.sum()"),
    (STUB, MEAN),
    ("import os\ndef double(x):\n    os._exit(0)", MEAN),
    ("def double(x):\n    return 2 * x.float()", "import torch\nmean = torch.mean"),
)
KINDS = ("supervisor", "checker", "nursery", "student")


def make_class(root: Path, students: int) -> Folder:
    folder = make_course(root)
    for i in range(students):
        hand_in(folder, f"student_{i:03}", *ANSWERS[i % len(ANSWERS)])
    return folder


def start(folder: Folder) -> subprocess.Popen:
    command = [sys.executable, "-m", "grader", "grade", "--workers", "1", "--course", str(folder.root)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kind_of(process: psutil.Process) -> str:
    """Nurseries come in threes: the process outside, the nursery in its name space, and student processes in theirs."""
    line = " ".join(process.cmdline())
    if "grader.referee.checker" in line:
        return "checker"
    if "grader.referee.nursery" not in line:
        return "supervisor"
    depth = sum("grader.referee.nursery" in " ".join(parent.cmdline()) for parent in process.parents())
    return "nursery" if depth < 2 else "student"


def kill_one(run: subprocess.Popen, chance: random.Random) -> str:
    """SIGKILL for one process of the run; which kind it was."""
    try:
        tree = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
        by_kind: dict[str, list[psutil.Process]] = {}
        for process in tree:
            by_kind.setdefault(kind_of(process), []).append(process)
        kind = chance.choice([kind for kind in KINDS if kind in by_kind])
        chance.choice(by_kind[kind]).kill()
        return kind
    except psutil.Error:
        return "none"


def grade_through_kills(folder: Folder, kills: int, seed: int, calm_s: float) -> Counter:
    """Grade with that many kills on the way, and to the end; how many of each kind there were.

    calm_s: how long an undisturbed run takes: the first kill of a run comes at any moment of that time.
    """
    chance, killed = random.Random(seed), Counter()
    while sum(killed.values()) < kills:
        run = start(folder)
        warm = time.monotonic() + chance.uniform(0.0, 0.8 * calm_s)
        while sum(killed.values()) < kills and run.poll() is None:
            time.sleep(max(warm - time.monotonic(), chance.uniform(0.0, 0.8)))
            kind = kill_one(run, chance)
            if kind != "none":
                killed[kind] += 1
        if run.poll() is not None and not _waiting(folder):
            _forget_some(folder, chance)  # all is marked: there is nothing left to kill
        elif run.poll() is None:
            run.send_signal(signal.SIGKILL)
        run.wait()
    assert start(folder).wait() == 0, "the run that was left alone did not end well"
    return killed


def _waiting(folder: Folder) -> bool:
    if not folder.journal.exists():
        return True
    with Journal(folder.journal, read_only=True) as journal:
        return bool(journal.pending() or journal.uncommitted()) or not any(True for _ in journal.results())


def _forget_some(folder: Folder, chance: random.Random) -> None:
    """Begin anew: the books as they were before the first run, but the same secret."""
    for path in (*folder.grading.glob("journal.db*"), folder.root / "gradebook.db"):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder.autograded, ignore_errors=True)


def differences(calm: Folder, shaken: Folder) -> list[str]:
    """What is not the same in the two: marks, books, the number of rows, the audit. [] where nothing is."""
    found = []
    one, other = marks(calm), marks(shaken)
    found += [f"{key}: {one.get(key)} and {other.get(key)}" for key in one | other if one.get(key) != other.get(key)]
    if booked(calm) != booked(shaken):
        found.append("the gradebooks differ")
    with Journal(calm.journal, read_only=True) as one, Journal(shaken.journal, read_only=True) as other:
        if other.pending() or other.uncommitted():
            found.append("something is left over")
        if other.audit.verify() is not None:
            found.append("the audit is broken")
        rows = [Counter((r.student, r.grade_id, r.what, r.new) for r in j.audit.rows()) for j in (one, other)]
        if rows[0] != rows[1]:
            found.append("the audits differ")
    files = [sorted(p.relative_to(f.autograded) for p in f.autograded.rglob("*.*")) for f in (calm, shaken)]
    if files[0] != files[1]:
        found.append("the autograded files differ")
    return found


def main(kills: int = 200, students: int = 60, seed: int = 1) -> int:
    with tempfile.TemporaryDirectory() as root:
        calm = make_class(Path(root) / "calm", students)
        calm.secret()
        shutil.copytree(calm.root, Path(root) / "shaken")
        shaken = Folder(Path(root) / "shaken")
        begun = time.monotonic()
        assert start(calm).wait() == 0
        calm_s = time.monotonic() - begun
        begun = time.monotonic()
        killed = grade_through_kills(shaken, kills, seed, calm_s)
        found = differences(calm, shaken)
        left = [
            p.pid for p in psutil.process_iter(["cmdline"]) if str(shaken.root) in " ".join(p.info["cmdline"] or [])
        ]
    print(f"{kills} kills {dict(killed)} over {students} submissions in {time.monotonic() - begun:.0f} s")
    print("differences:", "; ".join(found) or "none", "- processes left:", left or "none")
    return bool(found or left)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(main(*map(int, sys.argv[1:])))
