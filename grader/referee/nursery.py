"""P, the nursery: imports torch and the rest once, in a jail, and forks a student process for each submission.

Rule: this process holds no test, no answer, no token and no database handle, because its memory is every student's
memory. It learns what to import from names alone. It also watches its child's memory and processor time, which the
child cannot do to itself in a way that could be trusted.

Started by the checker as `python -I -m grader.referee.nursery <descriptor>`; the descriptor is its control channel.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from grader.jail import inner, outer, watch
from grader.jail.limits import Limits
from grader.jail.tiers import Tier
from grader.referee.wire import Channel, Gone

EVERY_S = 0.03  # between two looks at a running student process
DYING_S = 1.0
WARM = ("torch", "numpy", "IPython", "matplotlib.pyplot", "attnlab.viz", "attnlab.data", "attnlab.capture")


@dataclass
class Child:
    """A running student process, and why it was stopped, if it was."""

    pid: int
    peak_mb: float = 0.0
    stopped: str = ""  # "memory" or "cpu"


class Nursery:
    def __init__(self, control: Channel, jail: inner.Jail, limits: Limits, tier: Tier):
        self.control, self.jail, self.limits, self.tier = control, jail, limits, tier
        self.child: Child | None = None

    def serve(self) -> None:
        """Answer the checker until it hangs up; then end, and with this process everything in its name space."""
        while True:
            ready, _, _ = select.select([self.control.sock], [], [], EVERY_S if self.child else None)
            if not ready:
                self._watch()
                continue
            head, _ = self.control.receive()
            if head["op"] == "fork":
                self._fork()
            elif head["op"] == "end":
                self.control.send({"r": 1, **self._end(head["ended"])})
            elif head["op"] == "import":
                import_all(head["names"])
                self.control.send({"r": 1})

    def _fork(self) -> None:
        mine, theirs = socket.socketpair()
        pid = self.jail.fork(keep=[theirs.fileno()])
        if pid == 0:
            _be_student(theirs)
        theirs.close()
        self.child = Child(pid)
        socket.send_fds(self.control.sock, [b"W"], [mine.fileno()])
        self.control.send({"r": 1})
        mine.close()

    def _watch(self) -> None:
        child = self.child
        seen = watch.usage(child.pid)
        if seen is None or child.stopped:
            return
        child.peak_mb = max(child.peak_mb, seen.memory_mb)
        over = "memory" if seen.memory_mb > self.limits.memory_mb else ""
        over = over or ("cpu" if seen.cpu_seconds > self.limits.cpu_seconds else "")
        if over:
            child.stopped = over
            self._kill(child.pid)

    def _end(self, ended: bool) -> dict:
        """Kill what is left of the child, and say how it ended by itself, if it had.

        ended: it has hung up, so it may be dying: that takes some milliseconds for a process of this size.
        """
        child, self.child = self.child, None
        if child is None:
            return {"reason": "none"}
        patience = time.monotonic() + (DYING_S if ended else 0.0)
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        while pid == 0 and time.monotonic() < patience:
            time.sleep(0.002)
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        by_itself = pid != 0
        if not by_itself:
            self._kill(child.pid)
            pid, status, usage = os.wait4(child.pid, 0)
        self._reap_orphans()
        died = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
        return {
            "reason": child.stopped or (died if by_itself else ""),
            "peak_mb": max(child.peak_mb, usage.ru_maxrss / 1024),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
        }

    def _kill(self, pid: int) -> None:
        """End the child with all that it started: in a name space of its own, that goes with its first process."""
        if self.tier is Tier.A:
            os.kill(pid, signal.SIGKILL)
        else:
            watch.kill_all(pid)

    def _reap_orphans(self) -> None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


def _be_student(sock: socket.socket) -> None:
    """The rest of a student process's life. Never returns."""
    from grader.referee import student

    try:
        student.serve(Channel(sock), _shell())
    except Gone:
        os._exit(0)
    finally:
        os._exit(70)


def _shell():
    from IPython.core.interactiveshell import InteractiveShell

    return InteractiveShell.instance()


def _prepared_shell() -> None:
    """Make the shell before forking: it takes 10 ms. Tracebacks are not wanted as text, and are slow to write.

    What a notebook's kernel does and this shell cannot (%matplotlib, programs on a terminal) is done as far as it goes.
    """
    from IPython.core.history import HistoryManager

    HistoryManager.enabled = False
    shell = _shell()
    shell.showtraceback = shell.showsyntaxerror = lambda *_, **__: None
    shell.enable_gui = shell.enable_matplotlib = lambda *_, **__: ("agg", "agg")
    shell.system = lambda command: print(shell.getoutput(command, split=False))


def import_all(names: list[str]) -> None:
    """Import what a rehearsal was seen to need; what cannot be imported here is left to the student process."""
    import importlib

    for name in names:
        try:
            importlib.import_module(name)
        except Exception:
            continue


def warm_up(lessons: list[bytes]) -> None:
    """Everything that forked children share: modules, the shell, and the names in the released lessons' cells."""
    from grader.referee import inert, student  # noqa: F401  the child imports nothing of ours any more
    from grader.referee.reading import read_cells

    inert.install()
    import_all(list(WARM))
    import torch

    torch.set_num_threads(1)
    _prepared_shell()
    for lesson in lessons:
        read_cells(lesson)


def main(descriptor: int) -> None:
    control = Channel(socket.socket(fileno=descriptor))
    setup, lessons = control.receive()
    limits = Limits(**setup["limits"])
    visible, hidden = ([Path(path) for path in setup[kind]] for kind in ("visible", "hidden"))
    tier = outer.enter(visible, hidden, Tier(setup["tier"]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's
    warm_up([bytes(lesson) for lesson in lessons])
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page that it looks at
    nursery = Nursery(control, inner.Jail(limits, tier), limits, tier)
    threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
    control.send({"r": 1, "tier": tier, "threads": threads})
    try:
        nursery.serve()
    except Gone:
        return


if __name__ == "__main__":
    main(int(sys.argv[1]))
