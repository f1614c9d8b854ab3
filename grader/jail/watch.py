"""Looking at W from the nursery: what it uses, and killing it where no name space does so.

Memory is resident memory. What the nursery had loaded, and every fork shares, counts once; other pages that W shares
with its own forks count in each. Files in W's tmpfs folders do not count; their size is capped.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from dataclasses import dataclass

from grader.jail import syscalls as sc

PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")
# Of /proc/<pid>/stat, counted from the state, which follows the name.
STATE, PARENT, SESSION, USER_TIME, CHILDREN_TIME_END, RESIDENT = 0, 1, 3, 11, 15, 21
PATIENCE = 5.0  # seconds


@dataclass(frozen=True)
class Usage:
    """Of a process and all that descends from it: MiB resident, processor seconds, number of processes."""

    memory_mb: float
    cpu_seconds: float
    processes: int


def usage(pid: int) -> Usage | None:
    """What the process `pid` (as seen from here) and its descendants use now; None where it is gone or unseen."""
    table = _processes()
    root = pid if _proc_is_ours() else _as_proc_numbers(pid)
    if root not in table:
        return None
    family = [table[member] for member in _descendants(table, {root})]
    ticks = sum(int(value) for stat in family for value in stat[USER_TIME:CHILDREN_TIME_END])
    shared = int(table[_here()][RESIDENT]) if _here() in table else 0
    resident = shared + sum(max(int(stat[RESIDENT]) - shared, 0) for stat in family)
    return Usage(resident * PAGE / (1 << 20), ticks / TICK, len(family))


def kill_all(pid: int) -> None:
    """Kill W and all it started, in tiers B and C, and see that nothing is left. The caller still reaps W itself.

    Stopped first and killed then, so that nothing is started meanwhile. What had left W's session and lost its parent
    was given to the nursery, so every descendant of the nursery counts as W's. TimeoutError if something lives on.
    """
    end = time.monotonic() + PATIENCE
    stopped: set[int] = set()
    while family := _living_family(pid):
        fresh = family - stopped
        for member in fresh or family:
            _send(member, signal.SIGSTOP if fresh else signal.SIGKILL)
        stopped |= fresh
        if time.monotonic() > end:
            raise TimeoutError(f"{len(family)} processes of the student process {pid} cannot be killed")
        if not fresh:
            time.sleep(0.001)


def _living_family(pid: int) -> set[int]:
    table = _processes()
    adopted = _adopts_orphans()
    roots = {pid} | {member for member, stat in table.items() if int(stat[SESSION]) == pid}
    if adopted:
        roots |= {member for member, stat in table.items() if int(stat[PARENT]) == os.getpid()}
    return {member for member in _descendants(table, roots & table.keys()) if table[member][STATE] not in "ZX"}


def _adopts_orphans() -> bool:
    answer = ctypes.c_int()
    sc.checked(sc.LIBC.prctl(sc.PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0), "PR_GET_CHILD_SUBREAPER")
    return bool(answer.value)


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _processes() -> dict[int, list[str]]:
    """The fields of /proc/<pid>/stat, from the state on, of every process there is."""
    table = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return table
    for name in names:
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
                    table[int(name)] = file.read().rpartition(b")")[2].decode().split()
            except OSError:
                continue  # it ended meanwhile
    return table


def _descendants(table: dict[int, list[str]], roots: set[int]) -> set[int]:
    """`roots` and every process whose line of parents leads to one of them."""
    children: dict[int, list[int]] = {}
    for pid, stat in table.items():
        children.setdefault(int(stat[PARENT]), []).append(pid)
    family, todo = set(), list(roots)
    while todo:
        member = todo.pop()
        if member not in family:
            family.add(member)
            todo += children.get(member, [])
    return family


def _here() -> int:
    """This process, by the number that /proc has for it; -1 where there is none."""
    try:
        return int(os.readlink("/proc/self"))
    except OSError:
        return -1


def _proc_is_ours() -> bool:
    """Whether /proc counts processes as this process does."""
    return _here() in (os.getpid(), -1)


def _as_proc_numbers(pid: int) -> int:
    """The number by which /proc, which is that of a name space outside, knows `pid`; -1 where it is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return -1
    try:
        with open(f"/proc/self/fdinfo/{descriptor}") as file:
            return int(next(line for line in file if line.startswith("Pid:")).split()[1])
    finally:
        os.close(descriptor)
