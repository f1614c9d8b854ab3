"""The checker's side of the nursery: start it, ask it for student processes, hear how they ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from grader.jail.limits import Limits
from grader.referee.wire import Channel, Gone

START_S = 120.0
PACKAGES = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ending:
    """How a student process ended. reason: "" (we ended it), "memory", "cpu", "exit 1", "signal 11" ..."""

    reason: str
    peak_mb: float = 0.0
    cpu_seconds: float = 0.0


class Desk:
    """One nursery. Raises wire.Gone when it has died; a new Desk has to be made then."""

    def __init__(self, tier: str, limits: Limits, hidden: list[Path], lessons: list[bytes]):
        mine, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-m", "grader.referee.nursery", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            cwd="/",
            env=_environment(),
        )
        theirs.close()
        self.control = Channel(mine)
        visible = [PACKAGES / "attnlab", PACKAGES / "grader" / "referee", PACKAGES / "grader" / "__init__.py"]
        answers = [PACKAGES / "attnlab" / name for name in ("checks", "reference", "papers", "fast")]
        setup = {
            "tier": tier,
            "limits": asdict(limits),
            "visible": [str(path) for path in visible],
            "hidden": [str(path) for path in [*answers, *hidden] if path.exists()],
        }
        self.control.send(setup, lessons)
        self._started: dict | None = None

    def ready(self) -> dict:
        """Wait until the nursery is warm; the tier that it reached. Raises RuntimeError where it is not fit to fork."""
        if self._started is None:
            self._started = self._answer(START_S)
            if self._started["threads"] != 1:
                raise RuntimeError(
                    f"Expected a nursery with one thread, got {self._started['threads']}: fork is unsafe."
                )
        return self._started

    def fork(self) -> Channel:
        """A new student process, and the channel to it."""
        self.ready()
        self.control.send({"op": "fork"})
        _, descriptors, _, _ = socket.recv_fds(self.control.sock, 1, 1)
        if not descriptors:
            raise Gone("the nursery has ended")
        self._answer(START_S)
        return Channel(socket.socket(fileno=descriptors[0]))

    def end(self, ended: bool = False) -> Ending:
        """End the student process, with everything that it has started; ended: it has hung up by itself."""
        self.control.send({"op": "end", "ended": ended})
        answer = self._answer(START_S)
        return Ending(**{key: answer[key] for key in ("reason", "peak_mb", "cpu_seconds") if key in answer})

    def warm(self, modules: list[str]) -> None:
        """Import these modules in the nursery, for all student processes to come."""
        self.control.send({"op": "import", "names": modules})
        self._answer(START_S)

    def close(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()

    def _answer(self, seconds: float) -> dict:
        return self.control.receive(time.monotonic() + seconds)[0]


def _environment() -> dict[str, str]:
    """Nothing of ours is handed down: no path, no preloaded library, no Python setting."""
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
        "HF_HUB_OFFLINE": "1",
    }
