"""What marking one submission comes to: plain data, the same as Python objects and as JSON.

Everything behind the referee (journal, gradebook, feedback, report, exports) reads results and nothing else.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

FORMAT = 1


class Verdict(StrEnum):
    """How an exercise ended. `WORDS` says each in a sentence for the student."""

    PASSED = "passed"
    PARTLY = "partly passed"
    FAILED = "failed"
    NOT_ATTEMPTED = "not attempted"
    ERROR = "error"
    NOT_DEFINED = "not defined"
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    DIED = "process died"
    TOO_LARGE = "answer too large"
    MALFORMED = "malformed answer"
    SHORTCUT = "shortcut refused"
    NOT_REACHED = "not reached"
    UNREADABLE = "unreadable notebook"
    MANUAL = "for a person"
    GRADER_FAULT = "grader fault"


WORDS = {
    Verdict.PASSED: "Every law holds.",
    Verdict.PARTLY: "Some laws hold, some do not.",
    Verdict.FAILED: "No law holds yet.",
    Verdict.NOT_ATTEMPTED: "Nothing is written there yet.",
    Verdict.ERROR: "Your code raised an error when it was called, or in a cell that it needs.",
    Verdict.NOT_DEFINED: "The name that the check needs was never defined. Was its cell deleted, or did it fail?",
    Verdict.TIMED_OUT: "Your code had not come back when its time was up. Is there a loop that never ends?",
    Verdict.OUT_OF_MEMORY: "Your code asked for more memory than a submission may have.",
    Verdict.DIED: "The process that ran your code died (an exit call, a crash, or a kill).",
    Verdict.TOO_LARGE: "Your code gave back, or printed, more than a submission may.",
    Verdict.MALFORMED: "What came back from your code was no answer: tensors, numbers and text are.",
    Verdict.SHORTCUT: "Your code calls what it is asked to write, and this course does not accept that.",
    Verdict.NOT_REACHED: "The time for the whole submission was used up before this exercise.",
    Verdict.UNREADABLE: "The file handed in could not be read as a notebook.",
    Verdict.MANUAL: "A person will mark this one.",
    Verdict.GRADER_FAULT: "The grader failed, not you: this costs no points, and a person has been told.",
}


@dataclass
class LawResult:
    """One law of an exercise. `asks` is the question in words; nothing here shows a drawn input."""

    name: str
    asks: str
    points: float
    held: bool


@dataclass
class MistakeNamed:
    """A mistake that the diagnosis named, in the words of the exercise's bank."""

    name: str
    belief: str
    why: str
    action: str


@dataclass
class ExerciseResult:
    """The outcome of one grade cell.

    points is None where a person has to mark (MANUAL) or where the grader itself failed (GRADER_FAULT).
    exercise, laws, certainty ("same outputs", "two mistakes", "same laws", "unknown" or ""), mistakes and hint stay
    empty for a plain nbgrader test cell. staff is for instructors only: it may hold what the student's code printed
    or raised under secret inputs.
    """

    grade_id: str
    verdict: Verdict
    points: float | None
    max_points: float
    words: str = ""
    title: str = ""
    exercise: str = ""
    laws: list[LawResult] = field(default_factory=list)
    certainty: str = ""
    mistakes: list[MistakeNamed] = field(default_factory=list)
    hint: str = ""
    shortcuts: list[str] = field(default_factory=list)
    hunt: bool = False  # the answer was a law about implementations
    raised: bool = False  # a case of the check at least ended in an exception
    seconds: float = 0.0
    staff: str = ""


@dataclass
class CellRead:
    """One cell of the submission, as read; text is cut at a limit. Grade cells hold the release's text."""

    kind: str  # code, markdown or raw
    text: str
    grade_id: str = ""  # of a solution, grade or locked cell of the release; empty for others
    own: bool = True  # written or changed by the student (False: the release's text)
    ran: bool = False
    error: str = ""  # the kind of error it ended in, e.g. "NameError"


@dataclass
class Result:
    """The outcome of one submission.

    verdict is UNREADABLE or GRADER_FAULT where nothing could be marked, else PASSED (all points), PARTLY or FAILED.
    notes are sentences for the student (a missing check cell, a copied cell ...). seed_id names the seed without
    telling it.
    """

    student: str
    lesson: str
    submission: str  # sha256 of the file handed in, in hex
    verdict: Verdict
    exercises: list[ExerciseResult] = field(default_factory=list)
    cells: list[CellRead] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seed_id: str = ""
    tier: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    staff: str = ""
    format: int = FORMAT

    @property
    def points(self) -> float:
        return sum(exercise.points or 0.0 for exercise in self.exercises)

    @property
    def max_points(self) -> float:
        return sum(exercise.max_points for exercise in self.exercises)

    @property
    def faulty(self) -> bool:
        """Did the grader itself fail somewhere, so that this result is not to be kept?"""
        return self.verdict is Verdict.GRADER_FAULT or any(e.verdict is Verdict.GRADER_FAULT for e in self.exercises)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Raises ValueError for another format."""
        data = json.loads(text)
        if data.get("format") != FORMAT:
            raise ValueError(f"Expected a result of format {FORMAT}, got {data.get('format')}: mark it again.")
        data["verdict"] = Verdict(data["verdict"])
        data["cells"] = [CellRead(**cell) for cell in data["cells"]]
        data["exercises"] = [_exercise(exercise) for exercise in data["exercises"]]
        return cls(**data)


def _exercise(data: dict[str, Any]) -> ExerciseResult:
    data = {key: value for key, value in data.items() if key in {f.name for f in fields(ExerciseResult)}}
    data["verdict"] = Verdict(data["verdict"])
    data["laws"] = [LawResult(**law) for law in data["laws"]]
    data["mistakes"] = [MistakeNamed(**mistake) for mistake in data["mistakes"]]
    return ExerciseResult(**data)
