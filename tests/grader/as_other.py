"""Runs the grader as somebody else: `python as_other.py ordinary|bare WORD ...` stands for `python -m grader WORD ...`.

ordinary: as a user without any right, for whom root's home is closed but for the Python in it.
bare: as root of a machine that forbids unprivileged user name spaces, as many containers do.
"""

from __future__ import annotations

import os
import sys

from grader.jail import syscalls as sc


def show_python() -> None:
    """An ordinary user cannot reach a Python in root's home: in this process's own view it can."""
    sc.unshare(sc.NEWNS)
    sc.mount("none", "/", None, sc.MS_REC | sc.MS_PRIVATE)
    if sys.base_prefix.startswith("/root/"):
        base = sc.clone_tree(sys.base_prefix)
        sc.mount("root", "/root", "tmpfs", 0, "mode=755")
        os.makedirs(sys.base_prefix)
        sc.attach_tree(base, sys.base_prefix)


def forbid_user_name_spaces() -> None:
    """A user name space in which root is root, and that allows no further one."""
    mine, theirs = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:  # only a process outside may map more than one user
        os.read(mine, 1)
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{parent}/{name}", "w") as file:
                file.write("0 0 65536")
        os._exit(0)
    sc.unshare(sc.NEWUSER)
    os.write(theirs, b"x")
    assert os.waitpid(child, 0)[1] == 0
    with open("/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")


if __name__ == "__main__":
    who, *words = sys.argv[1:]
    show_python()
    forbid_user_name_spaces() if who == "bare" else sc.become_ordinary()
    os.execv(sys.executable, [sys.executable, "-m", "grader", *words])
