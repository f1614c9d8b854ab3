"""A nursery for the tests of the jail: enters it, then forks a student process for each piece of code it is sent.

Run as a program: the first argument is JSON (tier, visible, hidden, ordinary, masked). Each line on standard input is a
request in JSON, each line on standard output its answer. `Nursery` is the test's side of it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

SECONDS = 30


class Nursery:
    """A jailed process that runs pieces of code, each in a student process of its own."""

    def __init__(self, tier: str, visible=(), hidden=(), ordinary=False, masked=False, **environment: str) -> None:
        spec = {"tier": tier, "ordinary": ordinary, "masked": masked}
        spec |= {"visible": [str(path) for path in visible], "hidden": [str(path) for path in hidden]}
        self.process = subprocess.Popen(
            [sys.executable, "-I", __file__, json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        self.hello = json.loads(self.process.stdout.readline() or "{}")

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def ask(self, **request) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the nursery died: status {self.process.wait()}"
        return json.loads(line)

    def student(self, code: str, hold: bool = False, **limits: int) -> dict:
        """What `code` left in `answer` (or error: what it raised), its exit status and what it used.

        hold: leave the student process alive until `release`.
        """
        return self.ask(do="hold" if hold else "run", code=code, limits=limits)

    def release(self) -> dict:
        return self.ask(do="release")

    def pids(self) -> list[int]:
        """Every process of the jail, by the numbers of outside: the outer one first."""
        family = [self.process.pid]
        for pid in family:
            family += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return family


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pids: list[int], seconds: float = 5) -> list[int]:
    """Those of `pids` that still run after `seconds`."""
    end = time.monotonic() + seconds
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < end:
        time.sleep(0.01)
    return left


def main() -> None:
    spec = json.loads(sys.argv[1])
    if spec["ordinary"] and os.geteuid() == 0:
        _exec_as_ordinary_user(spec)
    from grader.jail import inner, limits, outer, tiers, watch

    try:
        tier = outer.enter(
            [Path(p) for p in spec["visible"]], [Path(p) for p in spec["hidden"]], tiers.Tier(spec["tier"])
        )
    except outer.JailError as problem:
        return _say(refused=str(problem))
    _say(tier=tier, pid=os.getpid(), notes=[note.detail for note in outer.entered().notes])
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "time":
            _say(milliseconds=_median_time(inner.Jail(limits.Limits(), tier), request["import"]))
        elif request["do"] == "exit":
            os._exit(request["status"])
        elif request["do"] == "die":
            os.abort()
        elif request["do"] == "look":
            _say(**_look(request["port"]))
        elif request["do"] == "two":
            _say(statuses=_two_at_once(inner.Jail(limits.Limits(), tier)))
        else:
            _serve(request, inner.Jail(limits.Limits(**request["limits"]), tier), tier, watch)


def _serve(request: dict, jail, tier: str, watch) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(SECONDS)
    pid = jail.fork([theirs.fileno()])
    if pid == 0:
        _student(request["code"], theirs)
    theirs.close()
    try:
        heard = json.loads(ours.makefile().readline() or "{}")
    except TimeoutError:
        heard = {"error": "no answer in time"}
    used = watch.usage(pid)
    if request["do"] == "hold":
        _say(**heard)
        sys.stdin.readline()
    if heard:  # one that said nothing is dying on its own
        os.kill(pid, signal.SIGKILL) if tier == "A" else watch.kill_all(pid)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    jail.close()
    left = len([name for name in os.listdir("/proc") if name.isdecimal()]) - 1
    _say(**heard, status=status, used=used and vars(used), left=left)


def _student(code: str, theirs: socket.socket) -> None:
    scope = {"kept": theirs.fileno()}
    try:
        exec(code, scope)
        said = {"answer": scope.get("answer")}
    except BaseException as problem:
        said = {"error": type(problem).__name__, "errno": getattr(problem, "errno", None), "words": str(problem)}
    theirs.sendall(json.dumps(said).encode() + b"\n")
    while True:
        time.sleep(1)


def _look(port: int) -> dict:
    """What the nursery itself can reach."""
    with socket.socket() as client:
        connected = client.connect_ex(("127.0.0.1", port))
    pids = [name for name in os.listdir("/proc") if name.isdecimal()]
    return {"connect": connected, "pids": pids, "home": os.listdir("/home"), "var": os.path.exists("/var")}


def _two_at_once(jail) -> list[int]:
    """Fork a second student process after the first has ended and before it is waited for; how both ended."""
    pids = []
    for status in (3, 4):
        pid = jail.fork([])
        if pid == 0:
            os._exit(status)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        pids.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def _median_time(jail, modules: list[str]) -> float:
    """From asking for a student process to its first word, median of 30."""
    for module in modules:
        __import__(module)
    times = []
    for _ in range(30):
        ours, theirs = socket.socketpair()
        begun = time.perf_counter()
        pid = jail.fork([theirs.fileno()])
        if pid == 0:
            theirs.send(b"!")
            time.sleep(SECONDS)
        ours.recv(1)
        times.append(1e3 * (time.perf_counter() - begun))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        ours.close()
        theirs.close()
    return statistics.median(times)


def _say(**answer) -> None:
    print(json.dumps(answer), flush=True)


def _exec_as_ordinary_user(spec: dict) -> None:
    """Start over as an ordinary user, who could not reach a Python in root's home: show it that part alone."""
    from grader.jail import syscalls as sc

    sc.unshare(sc.NEWNS)
    sc.mount("none", "/", None, sc.MS_REC | sc.MS_PRIVATE)
    if sys.base_prefix.startswith("/root/"):
        base = sc.clone_tree(sys.base_prefix)
        sc.mount("root", "/root", "tmpfs", 0, "mode=755")
        os.makedirs(sys.base_prefix)
        sc.attach_tree(base, sys.base_prefix)
    if spec["masked"]:
        sc.mount("mask", "/proc/sys", "tmpfs", sc.MS_RDONLY)
    sc.become_ordinary()
    os.execv(sys.executable, [sys.executable, "-I", __file__, json.dumps(spec | {"ordinary": False})])


if __name__ == "__main__":
    main()
