"""One worker: a checker and its nursery, as seen from the supervisor, which has no torch and runs no student code.

A pair marks one submission at a time. It may die or hang at any moment; `Pair` says so, and a new one is started.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field

from grader.jail.limits import Limits
from grader.referee.budget import Budget
from grader.referee.result import Result
from grader.referee.wire import Channel, Gone, Malformed


@dataclass(frozen=True)
class Setup:
    """What a pair is to know. Paths by lesson; `hidden` are the folders that hold what is not the student's."""

    lessons: dict[str, str]
    solutions: dict[str, str]
    hidden: list[str]
    tier: str = "A"
    limits: dict = field(default_factory=lambda: asdict(Limits()))
    budget: dict = field(default_factory=lambda: asdict(Budget()))
    shortcuts: str = "warn"
    every_cell: bool = False


class PairDied(Exception):
    """The checker has ended or sent nonsense. What it was marking has no result."""


class Pair:
    def __init__(self, setup: Setup):
        self.setup = setup
        mine, theirs = socket.socketpair()
        command = [sys.executable, "-m", "grader.referee.checker", str(theirs.fileno())]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self.channel = Channel(mine)
        self.tier = ""
        try:
            self.channel.send(asdict(setup))
        except Gone as error:
            raise PairDied(str(error)) from error

    def fileno(self) -> int:
        """For select: readable when there is something to `receive`."""
        return self.channel.sock.fileno()

    def receive(self, seconds: float | None = None) -> dict | Result:
        """First {"tier": ...} when it is ready, then a Result for each submission. Raises PairDied."""
        try:
            head, blobs = self.channel.receive(None if seconds is None else time.monotonic() + seconds)
            if blobs:
                result = Result.from_json(blobs[0].decode())
                result.cpu_seconds = round(result.cpu_seconds + head["cpu_seconds"], 4)
                return result
            self.tier = head["tier"]
            return head
        except (Gone, Malformed) as error:
            raise PairDied(str(error)) from error

    def send(self, student: str, lesson: str, submission: str, notebook: bytes, seed: int, seed_id: str) -> None:
        """Have a submission marked. Raises PairDied."""
        head = {"student": student, "lesson": lesson, "submission": submission, "seed": seed, "seed_id": seed_id}
        try:
            self.channel.send(head, [notebook])
        except (Gone, Malformed) as error:
            raise PairDied(str(error)) from error

    def kill(self) -> None:
        """End it, and with it its nursery and whatever student process runs there."""
        self.process.kill()
        self.process.wait()
        self.channel.close()
