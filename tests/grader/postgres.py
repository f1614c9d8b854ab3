"""A real PostgreSQL server for one test run: in a temporary folder, on a socket in it, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ORDINARY_USER = "nobody"  # the server refuses to run as root


def binaries() -> Path | None:
    """The folder with initdb and postgres, of the newest version; None where there is no server."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("postgres")
    if found:
        return found[-1].parent
    return Path(on_path).resolve().parent if on_path else None


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Start a server with an empty database; yields its URL, stops the server and removes the folder at the end."""
    # Not pytest's folder: nobody may not look into that, and a socket's path may have 107 characters only.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    data, log = folder / "data", folder / "log"
    user = {}
    if os.geteuid() == 0:
        user = {"user": ORDINARY_USER, "group": _group(), "extra_groups": []}
        shutil.chown(folder, ORDINARY_USER)
    initdb = [binaries() / "initdb", "-D", data, "-U", "grader", "-A", "trust", "-E", "UTF8", "--no-sync"]
    try:
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **user)
        command = [binaries() / "postgres", "-D", data, "-k", folder, "-h", "", "-F"]
        with open(log, "w") as out:
            server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder, **user)
        try:
            _wait_until_up(folder, server, log)
            yield f"postgresql+psycopg2://grader@/postgres?host={folder}"
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown: it does not wait for clients that are still connected
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _group() -> int:
    import pwd

    return pwd.getpwnam(ORDINARY_USER).pw_gid


def _wait_until_up(folder: Path, server: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        ready = subprocess.run([binaries() / "pg_isready", "-q", "-h", folder, "-U", "grader"])
        if ready.returncode == 0:
            return
        if server.poll() is not None:
            break
        time.sleep(0.25)
    raise AssertionError(f"PostgreSQL did not come up:\n{log.read_text()[-2000:]}")
