"""Pairs on this machine, each marking one submission at a time, watched by one thread.

A pair that dies or goes over its time is replaced; what it was marking comes back without a result.
"""

from __future__ import annotations

import select
import time
from dataclasses import dataclass

from grader.engines.task import Done, Task
from grader.referee.pair import Pair, PairDied, Setup

SPARE_S = 30.0  # beyond the submission's own budget, before the pair itself is taken to hang
START_S = 180.0


@dataclass
class _Worker:
    pair: Pair
    task: Task | None = None
    until: float = 0.0  # time.monotonic(), where it has something to do

    @property
    def starting(self) -> bool:
        return not self.pair.tier


class LocalEngine:
    """`workers` pairs. Raises PairDied from `wait` where a pair cannot even be started."""

    def __init__(self, setup: Setup, workers: int):
        self.setup = setup
        self.seconds = setup.budget["submission"] + SPARE_S
        self.workers = [self._started() for _ in range(workers)]

    def room(self) -> int:
        return sum(worker.task is None and not worker.starting for worker in self.workers)

    def submit(self, task: Task) -> None:
        worker = next(w for w in self.workers if w.task is None and not w.starting)
        worker.task, worker.until = task, time.monotonic() + self.seconds
        try:
            worker.pair.send(task.student, task.lesson, task.submission, task.notebook, task.seed, task.seed_id)
        except PairDied:
            return  # `wait` sees it too, and says so

    def wait(self, seconds: float) -> list[Done]:
        busy = [worker for worker in self.workers if worker.task is not None or worker.starting]
        ready, _, _ = select.select([worker.pair for worker in busy], [], [], seconds)
        done = [self._received(worker) for worker in busy if worker.pair in ready]
        now = time.monotonic()
        done += [self._replaced(w, "did not come back in time") for w in busy if w.pair not in ready and w.until < now]
        return [each for each in done if each is not None]

    def close(self) -> None:
        for worker in self.workers:
            worker.pair.kill()

    def _started(self) -> _Worker:
        return _Worker(Pair(self.setup), until=time.monotonic() + START_S)

    def _received(self, worker: _Worker) -> Done | None:
        was_starting = worker.starting
        try:
            message = worker.pair.receive(self.seconds)
        except PairDied as error:
            if was_starting:
                raise
            return self._replaced(worker, str(error))
        if was_starting:
            return None
        task, worker.task = worker.task, None
        return Done(task, message)

    def _replaced(self, worker: _Worker, why: str) -> Done | None:
        if worker.starting:
            raise PairDied(f"a checker that does not start: {why}")
        worker.pair.kill()
        fresh = self._started()
        task, worker.task = worker.task, None
        worker.pair, worker.until = fresh.pair, fresh.until
        return Done(task, None, why)
