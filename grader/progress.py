"""One line about a run: how much is done, how fast, how long it will take, what takes longest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from grader.referee.result import Result

EVERY_S = 2.0


class Progress:
    """Counts results and tells `write` (a line, as text or as JSON) now and then."""

    def __init__(self, total: int, write: Callable[[str], None], as_json: bool = False):
        self.total, self.write, self.as_json = total, write, as_json
        self.done, self.faults = 0, 0
        self.slowest = ("", 0.0)
        self.start = self.told = time.monotonic()

    def note(self, result: Result) -> None:
        self.done += 1
        self.faults += result.faulty
        if result.seconds > self.slowest[1]:
            exercise = max(result.exercises, key=lambda e: e.seconds, default=None)
            what = f"{result.student} {result.lesson}" + (f" {exercise.title}" if exercise else "")
            self.slowest = (what, result.seconds)
        if self.done == self.total or time.monotonic() > self.told + EVERY_S:
            self.told = time.monotonic()
            self.write(self.line())

    def numbers(self) -> dict:
        seconds = max(time.monotonic() - self.start, 1e-9)
        rate = self.done / seconds
        return {
            "done": self.done,
            "total": self.total,
            "per_second": round(rate, 2),
            "seconds_left": round((self.total - self.done) / rate) if rate else None,
            "grader_faults": self.faults,
            "slowest": self.slowest[0],
            "slowest_seconds": round(self.slowest[1], 2),
        }

    def line(self) -> str:
        n = self.numbers()
        if self.as_json:
            return json.dumps(n)
        left = f", about {_clock(n['seconds_left'])} left" if self.done < self.total and n["seconds_left"] else ""
        slowest = f"; slowest {n['slowest']} ({n['slowest_seconds']:.1f} s)" if n["slowest"] else ""
        faults = f"; {self.faults} grader faults" if self.faults else ""
        return f"{self.done}/{self.total}, {n['per_second']:.1f} a second{left}{slowest}{faults}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
