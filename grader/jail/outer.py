"""The outer wall: puts the process that calls `enter` into name spaces of its own, before it imports anything heavy.

As root the tree is built first, while everything can still be reached, and then root is given up for good: the user
name space in which the rest happens is an ordinary user's.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from grader.jail import landlock, tree
from grader.jail import syscalls as sc
from grader.jail.syscalls import JailError
from grader.jail.tiers import Probe, Tier

NURSERY_SCRATCH_MB = 512
ENVIRONMENT_FIELDS = slice(47, 49)  # env_start and env_end among the fields of /proc/self/stat that follow the name

__all__ = ["Entered", "JailError", "enter", "entered"]


@dataclass
class Entered:
    """What `enter` did. `readable` is for tier B, where W's own rules repeat it; `notes` says what had to be left."""

    tier: Tier
    layout: tree.Layout
    readable: list[str] = field(default_factory=list)
    notes: list[Probe] = field(default_factory=list)


_entered: Entered | None = None


def entered() -> Entered:
    """What `enter` did in this process; JailError where it was not called."""
    if _entered is None:
        raise JailError(
            "outer.enter() before a Jail is made",
            "a process outside any jail",
            "call enter() first, in a fresh interpreter",
        )
    return _entered


def enter(visible: Sequence[Path], hidden: Sequence[Path], tier: Tier) -> Tier:
    """Wall this process in as `tier` says; returns, in a child process, the tier.

    The process that called stays behind, waits for the child and ends as it ended. Both die with their parent: with
    the thread that started them. In tier A the child is process 1 of its own, sees `visible` read-only without
    `hidden`, and has /tmp, /dev/shm and /home/student to write in. Paths that do not exist now are left out: what is
    put into a visible folder later is seen. JailError where the tier cannot be had here.
    """
    global _entered
    parent = os.getppid()
    shown = [*tree.SYSTEM, sys.prefix, sys.base_prefix, *map(str, visible)]
    layout = tree.lay_out(shown, map(str, hidden))
    needed = [path for path in (sys.prefix, sys.base_prefix, *map(str, visible)) if os.path.exists(path)]
    if tier is Tier.A:
        with _refusals_explained():
            _enter_name_spaces(layout)
    elif os.geteuid() == 0:
        sc.drop_bounding_set()
        sc.become_ordinary()
    _must_reach(needed)
    _divide(parent)
    _entered = Entered(tier, layout)
    if tier is Tier.A:
        with _refusals_explained():
            sc.drop_bounding_set()
            sc.lock_securebits()
            _fresh_proc(_entered)
            tree.fresh_writable(layout, NURSERY_SCRATCH_MB)
        os.environ["HOME"] = tree.HOME
    else:
        sc.prctl(sc.PR_SET_CHILD_SUBREAPER, 1, what="PR_SET_CHILD_SUBREAPER")
        _entered.readable = landlock.readable(layout) if tier is Tier.B else []
    sc.no_new_privileges()
    _wipe_environment()
    return tier


@contextmanager
def _refusals_explained() -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise JailError(
            "name spaces for a student process (tier A)",
            f"{problem} (a process with several threads cannot do it either)",
            "run the doctor command, which tries each part, or accept a lower tier",
        ) from problem


def _enter_name_spaces(layout: tree.Layout) -> None:
    if os.geteuid() == 0:
        sc.unshare(sc.NEWNS)
        tree.build(layout)
        sc.become_ordinary()
        sc.new_user_name_space(sc.EVERY_NEW)
    else:
        sc.new_user_name_space(sc.EVERY_NEW)
        tree.build(layout)
    socket.sethostname("student")


def _must_reach(paths: Sequence[str]) -> None:
    """JailError unless each of the paths, which exist, can be read by the user that this process is by now."""
    for path in paths:
        if not os.access(path, os.R_OK | os.X_OK if os.path.isdir(path) else os.R_OK):
            raise JailError(
                f"{path}, which the jailed process needs, readable by an ordinary user (id {os.geteuid()})",
                "no right to read it, or to pass through a folder on the way",
                "open its permissions (chmod o+rX), install Python where everybody can read it, "
                "or start the grader as the ordinary user that owns it",
            )


def _divide(parent: int) -> None:
    """Fork. The child goes on; this process waits and ends as the child did."""
    sc.die_with_parent()
    if os.getppid() != parent:
        os._exit(1)  # it died before the line above
    child = os.fork()
    if child:
        _wait_for(child)
    sc.die_with_parent()


def _wait_for(child: int) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    sc.close_range(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _fresh_proc(state: Entered) -> None:
    """Mount a /proc that shows this process and its children only. Where that is refused, note it and go on."""
    try:
        sc.mount("proc", "/proc", "proc", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC)
    except OSError as problem:
        state.notes.append(Probe("private /proc", False, f"{problem}; a student process gets none at all."))


def _wipe_environment() -> None:
    """Blank the environment that this process was started with, which /proc/self/environ would show to W.

    os.environ keeps what it has: the variables are set again, elsewhere in memory.
    """
    try:
        with open("/proc/self/stat") as file:
            start, end = map(int, file.read().rpartition(")")[2].split()[ENVIRONMENT_FIELDS])
    except OSError:
        return  # no /proc here, so W has none to read either
    variables = dict(os.environ)
    os.environ.clear()
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)
    os.environ.update(variables)
