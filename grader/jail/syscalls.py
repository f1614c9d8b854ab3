"""The system calls that Python's os module lacks, by ctypes on libc. x86_64 and aarch64.

Every wrapper raises OSError with the call's name, so that a refusal says what was refused.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
MACHINE = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}.get(
    platform.machine().lower()
)

ORDINARY_USER, USER_INSIDE = 65534, 1000  # what root becomes; what W is called in its user name space

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
EVERY_NEW = NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 0x1000, 0x4000, 1 << 18
MNT_DETACH = 2
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV = 1, 2, 4
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC, MOVE_MOUNT_F_EMPTY_PATH = 1, os.O_CLOEXEC, 4

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_SECUREBITS = 1, 4, 24, 28
PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 37, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECUREBITS_LOCKED = 0b11101111  # no rights for uid 0, no rights kept or raised; all locked
CAPABILITY_VERSION_3 = 0x20080522

# Numbers that both machines share (every call since Linux 5.1 has one number everywhere), then those that differ.
OPEN_TREE, MOVE_MOUNT, CLOSE_RANGE, MOUNT_SETATTR = 428, 429, 436, 442
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
PIVOT_ROOT, SECCOMP, CAPSET = {"x86_64": (155, 317, 126), "aarch64": (41, 277, 91)}.get(MACHINE or "", (-1, -1, -1))


class JailError(RuntimeError):
    """The jail could not be built: what was expected, what was found, what to do."""

    def __init__(self, expected: str, got: str, do: str) -> None:
        super().__init__(f"Expected: {expected}\nGot: {got}\nDo: {do}")


def checked(result: int, what: str) -> int:
    """The result of a libc call; OSError with errno and `what` where it is -1."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, what: str, *arguments: Any) -> int:
    """The system call `number`. Integers go as 64 bits, bytes and ctypes objects by address."""
    sent = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return checked(LIBC.syscall(ctypes.c_long(number), *sent), what)


def prctl(option: int, *arguments: int, what: str = "prctl") -> int:
    sent = [ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4]]
    return checked(LIBC.prctl(option, *sent), what)


def unshare(flags: int) -> None:
    checked(LIBC.unshare(flags), "unshare")


def setns(descriptor: int, kind: int) -> None:
    checked(LIBC.setns(descriptor, kind), "setns")


def mount(source: str, target: str, kind: str | None, flags: int = 0, options: str | None = None) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    checked(LIBC.mount(*encoded[:3], ctypes.c_ulong(flags), encoded[3]), f"mount on {target}")


def unmount(target: str) -> None:
    """Detach what is mounted on `target`; it goes when its last user does."""
    checked(LIBC.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    syscall(PIVOT_ROOT, "pivot_root", os.fsencode(new), os.fsencode(old))


def set_mount_flags(path: str, flags: int, recursive: bool) -> None:
    """Add ATTR_… flags to the mount at `path`, and to all below it where recursive."""
    attributes = (ctypes.c_uint64 * 4)(flags, 0, 0, 0)
    how = AT_RECURSIVE if recursive else 0
    syscall(
        MOUNT_SETATTR, f"mount_setattr {path}", AT_FDCWD, os.fsencode(path), how, attributes, ctypes.sizeof(attributes)
    )


def clone_tree(path: str) -> int:
    """A descriptor of a copy, attached nowhere yet, of the mounts at `path` and below."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE
    return syscall(OPEN_TREE, f"open_tree {path}", AT_FDCWD, os.fsencode(path), flags)


def attach_tree(descriptor: int, path: str) -> None:
    """Mount what `clone_tree` gave on `path`."""
    syscall(
        MOVE_MOUNT,
        f"move_mount {path}",
        descriptor,
        b"",
        AT_FDCWD,
        os.fsencode(path),
        MOVE_MOUNT_F_EMPTY_PATH,
    )


def close_range(first: int, last: int = 0xFFFFFFFF) -> None:
    """Close every descriptor from `first` to `last`, both included, whatever limit is set."""
    if first <= last:
        syscall(CLOSE_RANGE, "close_range", first, last, 0)


def die_with_parent() -> None:
    """SIGKILL for this process when its parent ends. Any later change of user or capabilities undoes it."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, what="PR_SET_PDEATHSIG")


def set_dumpable(on: bool) -> None:
    """Whether others of the same user may look into this process, and whether it owns its own /proc files."""
    prctl(PR_SET_DUMPABLE, int(on), what="PR_SET_DUMPABLE")


def no_new_privileges() -> None:
    prctl(PR_SET_NO_NEW_PRIVS, 1, what="PR_SET_NO_NEW_PRIVS")


def drop_bounding_set() -> None:
    """Empty the capability bounding set: no program started from here can have any. Needs CAP_SETPCAP."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability, what="PR_CAPBSET_DROP")
        except OSError:
            break  # past the kernel's last capability


def lock_securebits() -> None:
    """No rights for user 0, none kept or raised, for good. Needs CAP_SETPCAP.

    Not before a change of user: the kernel would then leave root's capabilities in place.
    """
    prctl(PR_SET_SECUREBITS, SECUREBITS_LOCKED, what="PR_SET_SECUREBITS")


def drop_capabilities() -> None:
    """Give up every capability: ambient, effective, permitted, inheritable."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, what="PR_CAP_AMBIENT")
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    syscall(CAPSET, "capset", header, (ctypes.c_uint32 * 6)())


def become_ordinary() -> None:
    """From root to an ordinary user, for good. Does nothing for who is no root."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(ORDINARY_USER, ORDINARY_USER, ORDINARY_USER)
        os.setresuid(ORDINARY_USER, ORDINARY_USER, ORDINARY_USER)
        set_dumpable(True)  # changing user cleared it; without it /proc/self would be root's


def new_user_name_space(flags: int) -> None:
    """A user name space, and what `flags` asks for in it; this user is USER_INSIDE there, with every right in it."""
    user, group = os.geteuid(), os.getegid()
    unshare(flags | NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{USER_INSIDE} {user} 1"),
        ("gid_map", f"{USER_INSIDE} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
