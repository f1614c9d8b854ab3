"""How much of the machine one submission may use."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Caps for one submission. The kernel enforces all but `memory_mb` of a whole process tree.

    memory_mb: private memory of each process (RLIMIT_DATA, what was loaded before the fork included); also what
        the watcher is to allow the whole tree. MiB.
    processes: processes and threads in all.
    scratch_mb: size of each writable folder (tier A). MiB.
    file_mb: size of one file. MiB.
    open_files: descriptors of a process.
    cpu_seconds: processor time of a process; then it is killed.
    """

    memory_mb: int = 2048
    processes: int = 32
    scratch_mb: int = 128
    file_mb: int = 64
    open_files: int = 128
    cpu_seconds: int = 300


def apply(limits: Limits, others: int) -> None:
    """Set the limits on this process and what it forks.

    others: processes that the kernel counts for the same user but that are not the submission's.
    A limit that is already lower than ours stays.
    """
    wanted = {
        resource.RLIMIT_DATA: limits.memory_mb * MEGABYTE,
        resource.RLIMIT_NPROC: limits.processes + others,
        resource.RLIMIT_FSIZE: limits.file_mb * MEGABYTE,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def tasks_of(user: int) -> int:
    """How many processes and threads `user` has now, as /proc shows them: what RLIMIT_NPROC counts."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/status") as file:
                    fields = dict(line.split(":", 1) for line in file)
            except OSError:
                continue  # it ended meanwhile
            if int(fields["Uid"].split()[0]) == user:
                count += int(fields["Threads"])
    return count
