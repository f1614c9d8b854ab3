"""Writes the course folder of the class: what is taught, what was handed in; the same bytes every time."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from grader.sample.draft import Draft
from grader.sample.people import CLASS

ROOT = Path(__file__).parents[2]
MAIN = {"00_welcome": "softmax", "05_self_attention": "attention"}  # lesson -> where a student's one oddity goes


def write_class(course: Path, root: Path = ROOT, lessons: Sequence[str] = tuple(MAIN)) -> None:
    """Write lessons/, solutions/ and submitted/ into the folder `course`, from the project at `root`.

    Raises FileExistsError where something is handed in there already, OSError where a lesson has not been built.
    """
    from attnlab.checks import lessons as all_lessons  # imports torch: only when it is needed

    if (course / "submitted").exists():
        raise FileExistsError(f"Expected a folder without submissions, got {course}/submitted. Choose another folder.")
    for lesson in [lesson for lesson in all_lessons() if lesson.slug in lessons]:
        for folder in ("lessons", "solutions"):
            path = Path(folder, lesson.slug, f"{lesson.slug}.ipynb")
            (course / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, course / path)
        solved = Draft.of(lesson, root, MAIN[lesson.slug])
        for student in CLASS:
            draft = solved.copy()
            handed_in = student.hands_in(draft)
            path = course / "submitted" / student.id / lesson.slug / f"{lesson.slug}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(draft.to_bytes() if handed_in is None else handed_in)
