"""Grades a course on a disk that is too small, then on the same disk with room: `python full_disk.py COURSE KIB`.

The disk is a tmpfs in a mount name space of this process's own. Prints what both runs said, and the marks, as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from grader.folder import Folder
from grader.jail import syscalls as sc
from tests.grader.course import booked, marks

MS_REMOUNT = 32


@dataclass
class Run:
    status: int
    said: str


def grade(course: Path) -> Run:
    command = [sys.executable, "-m", "grader", "grade", "--workers", "1", "--course", str(course)]
    done = subprocess.run(command, capture_output=True, text=True)
    return Run(done.returncode, done.stdout + done.stderr)


def main(course: Path, kib: int) -> None:
    sc.unshare(sc.NEWNS)
    sc.mount("none", "/", None, sc.MS_REC | sc.MS_PRIVATE)
    kept = course.with_name("kept")
    shutil.copytree(course, kept)
    sc.mount("small", str(course), "tmpfs", 0, f"size={kib}k")
    shutil.copytree(kept, course, dirs_exist_ok=True)
    before = grade(course)
    sc.mount("small", str(course), "tmpfs", MS_REMOUNT, "size=200m")
    after = grade(course)
    folder = Folder(course)
    left = [str(path) for path in course.rglob("*.part")]
    found = {"before": asdict(before), "after": asdict(after), "marks": marks(folder), "booked": booked(folder)}
    print(json.dumps(found | {"left": left}))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(Path(sys.argv[1]), int(sys.argv[2]))
