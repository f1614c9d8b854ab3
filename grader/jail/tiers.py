"""What this machine can isolate: each part tried for real, in a child process that is thrown away."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import select
import signal
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from grader.jail import filter as seccomp
from grader.jail import landlock
from grader.jail import syscalls as sc

SECONDS = 10.0  # for one probe
ENOUGH = 1 << 30


class Tier(StrEnum):
    """How much keeps a submission in. A is stronger than B, and B than C: `Tier.A > Tier.B`."""

    A = "A"
    B = "B"
    C = "C"

    @property
    def words(self) -> str:
        return {"A": "name spaces", "B": "Landlock", "C": "limits only"}[self.value]

    def __lt__(self, other: str) -> bool:
        return ord(self.value) > ord(Tier(other).value)

    def __le__(self, other: str) -> bool:
        return ord(self.value) >= ord(Tier(other).value)

    def __gt__(self, other: str) -> bool:
        return ord(self.value) < ord(Tier(other).value)

    def __ge__(self, other: str) -> bool:
        return ord(self.value) <= ord(Tier(other).value)


@dataclass(frozen=True)
class Probe:
    """One part of the jail: whether it works here, and a sentence that says what was seen."""

    name: str
    ok: bool
    detail: str


EVERYWHERE = {"seccomp", "no new privileges", "memory limit", "drop from root"}
NEEDED = {
    Tier.A: EVERYWHERE
    | {
        "user name space",
        "process-id name space",
        "mount name space",
        "network name space",
        "ipc name space",
        "read-only tree",
        "loopback unreachable",
        "process limit",
    },
    Tier.B: EVERYWHERE | {"Landlock", "process limit"},
}


def probes() -> list[Probe]:
    """Try every part. Never raises: what cannot be tried counts as missing."""
    return [_in_a_child(name, attempt) for name, attempt in ATTEMPTS.items()]


def tier_reached(probes: list[Probe]) -> Tier:
    """The strongest tier whose parts all work."""
    working = {probe.name for probe in probes if probe.ok}
    return next((tier for tier, needed in NEEDED.items() if needed <= working), Tier.C)


class Missing(Exception):
    """Raised by an attempt that ran but did not find what it should."""


def _in_a_child(name: str, attempt: Callable[[], str]) -> Probe:
    try:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            _report(writer, attempt)
        os.close(writer)
        said = _hear(reader)
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except OSError as problem:
        return Probe(name, False, f"It could not be tried: {problem}.")
    if not said:
        return Probe(name, False, "The process that tried it gave no answer.")
    return Probe(name, said[0] == "+", said[1:])


def _report(writer: int, attempt: Callable[[], str]) -> None:
    """In the child: run the attempt, write + or - and its sentence, end without any clean-up."""
    try:
        said = "+" + attempt()
    except Missing as problem:
        said = f"-{problem}"
    except OSError as problem:
        said = f"-Refused: {problem}."
    except BaseException:
        said = "-" + traceback.format_exc(limit=1).splitlines()[-1]
    os.write(writer, said.encode())
    os._exit(0)


def _hear(reader: int) -> str:
    """What the child wrote; empty where it died or took too long."""
    ready, _, _ = select.select([reader], [], [], SECONDS)
    return os.read(reader, 4096).decode() if ready else ""


def _apart(flags: int) -> None:
    sc.become_ordinary()
    sc.new_user_name_space(flags)


def _user() -> str:
    _apart(0)
    return f"An ordinary user may make one; user {os.getuid()} in it."


def _pid() -> str:
    _apart(sc.NEWPID)
    return _first_process(lambda: os.getpid() == 1, "The first process in it is process 1.")


def _first_process(holds: Callable[[], bool], sentence: str) -> str:
    """Fork, and say `sentence` if it `holds` in the child."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if holds() else 1)
        except OSError as problem:
            os._exit(problem.errno or 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise Missing(f"Refused: {os.strerror(abs(status))}.")
    return sentence


def _private_proc() -> str:
    _apart(sc.NEWPID | sc.NEWNS)

    def holds() -> bool:
        sc.mount("none", "/", None, sc.MS_REC | sc.MS_PRIVATE)
        sc.mount("proc", "/proc", "proc", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC)
        return [name for name in os.listdir("/proc") if name.isdecimal()] == ["1"]

    return _first_process(holds, "A fresh /proc shows one process.")


def _mounts() -> str:
    _apart(sc.NEWNS)
    sc.mount("none", "/", None, sc.MS_REC | sc.MS_PRIVATE)
    sc.mount("probe", "/tmp", "tmpfs", sc.MS_NOSUID | sc.MS_NODEV, "size=64k")
    if os.listdir("/tmp"):
        raise Missing("A tmpfs over /tmp was not empty.")
    with open("/tmp/large", "wb", buffering=0) as file:
        try:
            while file.write(bytes(65536)) == 65536:
                pass
        except OSError as problem:
            if problem.errno != errno.ENOSPC:
                raise
    return "A private, empty /tmp whose size is capped."


def _read_only() -> str:
    _apart(sc.NEWNS)
    sc.mount("none", "/", None, sc.MS_REC | sc.MS_PRIVATE)
    sc.mount("probe", "/tmp", "tmpfs")
    os.mkdir("/tmp/below")
    sc.mount("probe", "/tmp/below", "tmpfs")
    sc.set_mount_flags("/tmp", sc.ATTR_RDONLY | sc.ATTR_NOSUID | sc.ATTR_NODEV, recursive=True)
    try:
        os.mkdir("/tmp/below/written")
    except OSError as problem:
        if problem.errno == errno.EROFS:
            return "A tree with all that is mounted in it was made read-only."
        raise
    raise Missing("A tree that was made read-only could be written to.")


def _network() -> str:
    _apart(sc.NEWNET)
    names = [name for _, name in socket.if_nameindex()]
    if set(names) - {"lo"} and any(_is_up(name) for name in names):
        raise Missing(f"It has interfaces: {', '.join(names)}.")
    return "It has no interface that is up."


def _is_up(name: str) -> bool:
    with open(f"/sys/class/net/{name}/flags") as file:
        return bool(int(file.read(), 16) & 1)


def _loopback() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        _apart(sc.NEWNET)
        with socket.socket() as client:
            client.settimeout(2)
            try:
                client.connect(server.getsockname())
            except OSError as problem:
                return f"A server on this machine could not be reached: {problem.strerror or problem}."
    raise Missing("A server on this machine was reached from an empty network name space.")


def _ipc() -> str:
    before = os.readlink("/proc/self/ns/ipc")
    _apart(sc.NEWIPC)
    if os.readlink("/proc/self/ns/ipc") == before:
        raise Missing("It is still the one of outside.")
    return "System V and POSIX queues of outside are out of sight."


def _seccomp() -> str:
    if sc.MACHINE is None:
        raise Missing("The filter knows x86_64 and aarch64 only.")
    sc.become_ordinary()
    sc.no_new_privileges()
    seccomp.install(seccomp.program(sc.MACHINE, network=False))
    try:
        socket.socket(socket.AF_INET).close()
    except PermissionError:
        return "A filter written here denies what it should."
    raise Missing("A filter was taken but denies nothing.")


def _no_new_privileges() -> str:
    sc.no_new_privileges()
    if sc.prctl(39) != 1:
        raise Missing("It was set but does not read as set.")
    return "Set-user-id programs give no rights."


def _landlock() -> str:
    version = landlock.abi()
    sc.become_ordinary()
    sc.no_new_privileges()
    landlock.restrict(["/usr"], [])
    os.listdir("/usr")
    try:
        os.listdir("/")
    except PermissionError:
        pass
    else:
        raise Missing(f"Version {version} took the rules but does not keep them.")
    extra = "files, TCP, abstract sockets and signals" if version >= 6 else "files and TCP" if version >= 4 else "files"
    return f"Version {version}: limits {extra}."


def _memory_limit() -> str:
    sc.become_ordinary()
    resource.setrlimit(resource.RLIMIT_DATA, (ENOUGH // 2, ENOUGH // 2))
    try:
        ctypes.create_string_buffer(ENOUGH)
    except MemoryError:
        return "RLIMIT_DATA: a process over its limit gets MemoryError."
    raise Missing("RLIMIT_DATA is not enforced.")


def _process_limit() -> str:
    """In the name space where students run, as the user they run as; elsewhere the count of others would blur it."""
    try:
        _apart(0)
        sc.drop_capabilities()
    except OSError:
        sc.become_ordinary()
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    try:
        child = os.fork()
    except BlockingIOError:
        return "RLIMIT_NPROC: no more processes than allowed for the user that students run as."
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    raise Missing("RLIMIT_NPROC is not enforced for the user that students run as.")


def _drop_root() -> str:
    if os.geteuid() != 0:
        return f"Not needed: this is user {os.geteuid()}, not root."
    sc.become_ordinary()
    try:
        os.setuid(0)
    except PermissionError:
        return f"From root to user {os.getuid()}, with no way back."
    raise Missing("Root could be had again.")


def _memory_group() -> str:
    """Information only: the jail does without."""
    with open("/proc/self/cgroup") as file:
        lines = [line.strip().split(":", 2) for line in file]
    places = [
        f"/sys/fs/cgroup/memory{path}" if names else f"/sys/fs/cgroup{path}"
        for _, names, path in lines
        if names == "" or "memory" in names.split(",")
    ]
    writable = [place for place in places if os.path.isdir(place) and os.access(place, os.W_OK)]
    if not writable:
        raise Missing("No memory cgroup may be made here; not needed, the watcher measures instead.")
    return f"One may be made in {writable[0]}; not used."


ATTEMPTS: dict[str, Callable[[], str]] = {
    "user name space": _user,
    "process-id name space": _pid,
    "mount name space": _mounts,
    "network name space": _network,
    "ipc name space": _ipc,
    "private /proc": _private_proc,
    "read-only tree": _read_only,
    "loopback unreachable": _loopback,
    "seccomp": _seccomp,
    "no new privileges": _no_new_privileges,
    "Landlock": _landlock,
    "memory limit": _memory_limit,
    "process limit": _process_limit,
    "drop from root": _drop_root,
    "memory cgroup": _memory_group,
}
