"""The inner wall: forks W, the process that runs one submission, into a jail inside the nursery's.

What can be made once is made in the nursery (the filter); the rest happens in the child between the fork and the
return, in an order that matters: mounts need the rights that are given up after them, the filter comes last.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence

from grader.jail import filter as seccomp
from grader.jail import landlock, limits, outer, tree
from grader.jail import syscalls as sc
from grader.jail.limits import Limits
from grader.jail.syscalls import JailError
from grader.jail.tiers import Tier

SETUP_FAILED = 97  # W's exit status where its jail could not be built; stderr says why
KEPT_VARIABLES = ("PYTHONHASHSEED",)
PROC_READABLE = ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "sys/kernel", "sys/vm", "uptime", "version")


class Jail:
    """Makes student processes. One for each nursery, after `outer.enter`, in a process with a single thread."""

    def __init__(self, limits: Limits, tier: Tier) -> None:
        """JailError where this process has not entered the outer wall of that tier, or the machine is unknown."""
        self.limits, self.tier = limits, tier
        self._outer = outer.entered()
        if self._outer.tier is not tier:
            raise JailError(f"tier {tier}", f"an outer wall of tier {self._outer.tier}", "use the same tier in both")
        if sc.MACHINE is None and tier is not Tier.C:
            raise JailError("x86_64 or aarch64", "another machine", "grade on one of these, or accept tier C")
        self._filter = b"" if tier is Tier.C else seccomp.program(sc.MACHINE, network=tier is Tier.A)
        self._nursery = os.getpid()
        self._own = os.pidfd_open(os.getpid()) if tier is Tier.A else -1
        self._students: dict[int, str | None] = {}  # process id: its folder (tiers B and C)

    def fork(self, keep: Sequence[int]) -> int:
        """0 in the student process, which has no descriptor but `keep`; there its process id, as seen from here.

        W ends with status SETUP_FAILED, and says why on stderr, where a wall could not be built.
        """
        self._tidy()
        folder = None if self.tier is Tier.A else tempfile.mkdtemp(prefix="student-")
        pid = self._fork_apart() if folder is None else os.fork()
        if pid == 0:
            self._enclose(keep, folder or tree.HOME)
        else:
            self._students[pid] = folder
        return pid

    def close(self) -> None:
        """Remove the folders of student processes that have ended (tiers B and C)."""
        for pid in [pid for pid in self._students if not _exists(pid)]:
            folder = self._students.pop(pid)
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def _fork_apart(self) -> int:
        """Fork once into a process-id name space of W's own: W is process 1 there, and all in it ends with W."""
        sc.unshare(sc.NEWPID)
        pid = -1
        try:
            pid = os.fork()
        finally:
            if pid != 0:
                sc.setns(self._own, sc.NEWPID)  # the nursery's next child is an ordinary one again
        return pid

    def _tidy(self) -> None:
        """Reap processes that were left to the nursery (never W: the caller wants its status), and `close`."""
        while True:
            try:
                left = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if left is None or left.si_pid in self._students:
                break
            os.waitpid(left.si_pid, 0)
        self.close()

    def _enclose(self, keep: Sequence[int], home: str) -> None:
        try:
            os.setsid()
            if self.tier is Tier.A:
                self._own_name_spaces()
            others = 2 if self.tier is Tier.A else limits.tasks_of(os.getuid())  # A: the outer process, the nursery
            os.umask(0o077)
            os.chdir(home)
            _clean_environment(home, self.tier)
            limits.apply(self.limits, others)
            self._give_up_rights(home)
            _close_all_but(keep)
        except BaseException as problem:
            os.write(2, f"The jail of a student process could not be built: {problem!r}\n".encode())
            os._exit(SETUP_FAILED)

    def _own_name_spaces(self) -> None:
        sc.unshare(sc.NEWNS | sc.NEWIPC | sc.NEWNET)
        tree.fresh_writable(self._outer.layout, self.limits.scratch_mb)
        if any(note.name == "private /proc" for note in self._outer.notes):
            sc.mount("none", "/proc", "tmpfs", sc.MS_RDONLY | sc.MS_NOSUID | sc.MS_NODEV, "size=4k,mode=555")
        else:
            sc.mount("proc", "/proc", "proc", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC)

    def _give_up_rights(self, home: str) -> None:
        sc.drop_capabilities()
        sc.die_with_parent()  # after the capabilities: changing them undoes it
        if self.tier is not Tier.A and os.getppid() != self._nursery:
            os._exit(SETUP_FAILED)  # the nursery died before the line above; in tier A the kernel sees to that
        sc.set_dumpable(False)
        sc.no_new_privileges()
        if self.tier is Tier.B:
            proc = [f"/proc/{name}" for name in (str(os.getpid()), *PROC_READABLE)]
            devices = [f"/dev/{name}" for name in tree.DEVICES]
            landlock.restrict([*self._outer.readable, *proc], [home, *devices])
        if self.tier is not Tier.C:
            seccomp.install(self._filter)


def _exists(pid: int) -> bool:
    """Whether the process is there, if only to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _clean_environment(home: str, tier: Tier) -> None:
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    os.environ.clear()
    os.environ.update(
        kept,
        PATH=f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
        HOME=home,
        LANG="C.UTF-8",
        OMP_NUM_THREADS="1",
        HF_HUB_OFFLINE="1",
        MPLCONFIGDIR=f"{home}/.config/matplotlib",
    )
    if tier is not Tier.A:
        os.environ["TMPDIR"] = home
    tempfile.tempdir = None  # the nursery's choice is not W's


def _close_all_but(keep: Sequence[int]) -> None:
    """Close every descriptor but `keep`; standard input, output and error become /dev/null unless kept."""
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        if number not in keep and number != null:
            os.dup2(null, number)
    first = 3
    for number in sorted(k for k in set(keep) if k >= 3):
        sc.close_range(first, number - 1)
        first = number + 1
    sc.close_range(first)
