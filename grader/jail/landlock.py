"""Landlock rules, for machines without user name spaces: which files a process may read, and the few it may write.

What Landlock cannot do: hide that a file exists (its name can be guessed, not listed), or cap a folder's size.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

from grader.jail import syscalls as sc
from grader.jail.tree import Layout, within

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
FIRST_RIGHTS = (1 << 13) - 1
RIGHTS_SINCE = {2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
READ = EXECUTE | READ_FILE | READ_DIR
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
TCP_BIND_CONNECT = 0b11
ABSTRACT_SOCKETS_SIGNALS = 0b11
CREATE_VERSION, RULE_PATH_BENEATH = 1, 1


def abi() -> int:
    """Landlock's version in this kernel; OSError where it is missing or switched off."""
    return sc.syscall(sc.LANDLOCK_CREATE_RULESET, "landlock_create_ruleset", None, 0, CREATE_VERSION)


def readable(layout: Layout) -> list[str]:
    """The paths that may be read with all below them, so that nothing covered is among them.

    A rule holds for a whole tree and cannot be taken back further down. A folder with something covered in it is
    therefore left out itself, and so cannot be listed; its other children are allowed one by one.
    """
    return [allowed for bind in layout.binds for allowed in _without(bind, layout.covers)]


def _without(path: str, covers: list[str]) -> list[str]:
    if path in covers:
        return []
    if not any(within(cover, path) for cover in covers):
        return [path]
    children = [entry.path for entry in os.scandir(path) if not entry.is_symlink()]
    return [allowed for child in children for allowed in _without(child, covers)]


def restrict(read: Iterable[str], write: Iterable[str]) -> None:
    """From now on this process may read below `read`, do anything below `write`, and touch no other file.

    From version 4 on also no TCP, from 6 on also no abstract sockets of and no signals to processes outside.
    Needs no_new_privs. Paths that do not exist are left out.
    """
    version = abi()
    everything = FIRST_RIGHTS | sum(right for since, right in RIGHTS_SINCE.items() if version >= since)
    attributes = struct.pack("=Q", everything)
    if version >= 4:
        attributes += struct.pack("=Q", TCP_BIND_CONNECT)
    if version >= 6:
        attributes += struct.pack("=Q", ABSTRACT_SOCKETS_SIGNALS)
    rules = sc.syscall(sc.LANDLOCK_CREATE_RULESET, "landlock_create_ruleset", attributes, len(attributes), 0)
    for path in read:
        _allow(rules, path, READ)
    for path in write:
        _allow(rules, path, everything)
    sc.syscall(sc.LANDLOCK_RESTRICT_SELF, "landlock_restrict_self", rules, 0)
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        rights &= ~0 if os.path.isdir(path) else OF_A_FILE
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, opened), 12)
        sc.syscall(sc.LANDLOCK_ADD_RULE, "landlock_add_rule", rules, RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(opened)
