"""C, the checker: holds the releases' tests, `attnlab.checks` and the seeds, and marks one submission at a time.

Started by a `Pair` as `python -m grader.referee.checker <descriptor>`. It starts its nursery at once, as a fresh
program with an empty environment, so that nothing that it loads afterwards is in a student process's memory.
"""

from __future__ import annotations

import gc
import resource
import socket
import sys
import time
from pathlib import Path

from grader.jail.limits import Limits
from grader.jail.syscalls import die_with_parent
from grader.referee.desk import Desk
from grader.referee.master import Master, read_master
from grader.referee.wire import Channel, Gone

MEMORY_MB = 3072  # of this process: functions of ours are called with what student code made up


class Checker:
    def __init__(self, setup: dict):
        self.setup = setup
        self.paths = {slug: Path(path) for slug, path in setup["lessons"].items()}
        self.solutions = {slug: Path(path) for slug, path in setup["solutions"].items()}
        self.benches: dict = {}
        self._start_desk()

    def _start_desk(self) -> None:
        hidden = [Path(path) for path in self.setup["hidden"]]
        lessons = [self._master(slug).without_tests() for slug in self.paths]
        self.desk = Desk(self.setup["tier"], Limits(**self.setup["limits"]), hidden, lessons)

    def mark(self, head: dict, notebook: bytes) -> str:
        """The result of one submission, as JSON. A nursery that died is replaced once."""
        from grader.referee.marking import Job

        job = Job(head["student"], head["lesson"], head["submission"], notebook, head["seed"], head["seed_id"])
        bench = self.bench(job.lesson)
        try:
            return self._mark(bench, job)
        except Gone:
            self.desk.close()
            self._start_desk()
            return self._mark(bench, job)

    def _mark(self, bench, job, at_the_end=None) -> str:
        from grader.referee.budget import Budget
        from grader.referee.marking import Marking

        rules = {"every_cell": self.setup["every_cell"], "shortcuts": self.setup["shortcuts"]}
        marking = Marking(self.desk, bench, job, Budget(**self.setup["budget"]), **rules, at_the_end=at_the_end)
        try:
            return marking.result().to_json()
        finally:
            if marking.link is not None:
                marking.close()

    def bench(self, slug: str):
        """The tests of a lesson. The first time its solution is rehearsed: the nursery learns what to import."""
        from grader.referee.test_cells import TestBench

        if slug not in self.benches:
            self.benches[slug] = TestBench.of(self._master(slug))
            self._rehearse(slug)
        return self.benches[slug]

    def _master(self, slug: str) -> Master:
        return read_master(slug, self.paths[slug], self.solutions.get(slug))

    def _rehearse(self, slug: str) -> None:
        """Mark the reference solution in a throw-away student process; keep only the names of what it imported."""
        from grader.referee.marking import Job

        if slug not in self.solutions:
            return
        names: list[str] = []
        job = Job("", slug, "", self.solutions[slug].read_bytes(), seed=0)
        self._mark(self.benches[slug], job, lambda link: names.extend(link.ask({"op": "modules"})[0]["names"]))
        self.desk.warm(names)


def main(descriptor: int) -> None:
    die_with_parent()
    channel = Channel(socket.socket(fileno=descriptor))
    setup, _ = channel.receive()
    checker = Checker(setup)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MB << 20, resource.RLIM_INFINITY))
    import torch

    torch.set_num_threads(1)
    import attnlab.checks  # noqa: F401  loaded while the nursery warms up

    try:
        channel.send({"r": 1, **checker.desk.ready()})
        while True:
            head, blobs = channel.receive()
            start = time.process_time()
            result = checker.mark(head, bytes(blobs[0]))
            channel.send({"r": 1, "cpu_seconds": time.process_time() - start}, [result.encode()])
            gc.collect(0)
    except Gone:
        return


if __name__ == "__main__":
    main(int(sys.argv[1]))
