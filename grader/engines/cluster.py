"""Pairs on many machines, through dask.distributed (the extra `cluster`).

A task is a batch of submissions, so that the engine's own milliseconds vanish. Each worker holds its pairs, made by a
plugin; student code runs in their jailed grandchildren alone, never in a worker. A worker that is killed loses nothing:
its batch is run again elsewhere, and a batch that kills every worker comes back submission by submission.

Files travel as bytes, so no folder has to be shared. Start the scheduler and its workers with TLS (docs/grading.md).
"""

from __future__ import annotations

import queue
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from distributed import Client, Future, WorkerPlugin, get_worker

from grader.books.errors import GraderError
from grader.engines.task import Done, Task
from grader.jail.tiers import Tier, probes, tier_reached
from grader.referee.pair import Pair, PairDied, Setup
from grader.referee.result import Result

NAME = "attnlab-pairs"
BATCH = 20  # submissions: a few seconds of work
AHEAD = 2  # batches for each worker thread, so that none waits for the network
CONNECT_S = 30.0


class Pairs(WorkerPlugin):
    """A worker's pairs, one for each thread. `any_tier`: also where the machine isolates less than asked for."""

    def __init__(self, setup: Setup, files: dict[str, bytes], any_tier: bool):
        self.given, self.files, self.any_tier = setup, files, any_tier

    def setup(self, worker) -> None:
        """Write the lessons' files, look at what this machine isolates, start the pairs."""
        reached, minimum = tier_reached(probes()), Tier(self.given.tier)
        if reached < minimum and not self.any_tier:
            raise RuntimeError(f"Expected isolation of tier {minimum} on {worker.address}, got tier {reached}.")
        self.folder = tempfile.TemporaryDirectory(prefix="attnlab-")
        root = Path(self.folder.name)
        for name, data in self.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        self.here = replace(
            self.given,
            lessons={lesson: str(root / path) for lesson, path in self.given.lessons.items()},
            solutions={lesson: str(root / path) for lesson, path in self.given.solutions.items()},
            hidden=[str(root)],
            tier=reached.value,
        )
        self.free: queue.Queue[Pair] = queue.Queue()
        for _ in range(worker.state.nthreads):
            self.free.put(Pair(self.here))

    def teardown(self, worker) -> None:
        while not self.free.empty():
            self.free.get().kill()
        self.folder.cleanup()

    def mark(self, task: dict) -> str:
        """The result of one submission as JSON; "" and a dead pair where the pair did not give one."""
        pair = self.free.get()
        seconds = self.here.budget["submission"] + 60
        try:
            if not pair.tier:
                pair.receive(seconds)
            fields = ("student", "lesson", "submission", "notebook", "seed", "seed_id")
            pair.send(**{field: task[field] for field in fields})
            result = pair.receive(seconds)
        except PairDied:
            pair.kill()
            pair = Pair(self.here)
            return ""
        finally:
            self.free.put(pair)
        return result.to_json()


def mark_batch(tasks: list[dict]) -> list[str]:
    """What a worker does: mark one submission after the other."""
    plugin: Pairs = get_worker().plugins[NAME]
    return [plugin.mark(task) for task in tasks]


class ClusterEngine:
    """The engine over a running scheduler. Raises GraderError where there is none, or no worker."""

    def __init__(self, setup: Setup, scheduler: str, any_tier: bool = False):
        try:
            self.client = Client(scheduler, timeout=CONNECT_S)
            self.client.wait_for_workers(1, timeout=CONNECT_S)
            self.client.register_plugin(_plugin(setup, any_tier), name=NAME)
        except (OSError, RuntimeError, TimeoutError) as error:
            do = "Start the scheduler and its workers, with the certificates that this command uses too."
            raise GraderError(scheduler, "a Dask scheduler with workers that can isolate", str(error), do) from error
        self._buffer: list[Task] = []
        self._under_way: dict[Future, list[Task]] = {}
        self._finished: queue.SimpleQueue[Future] = queue.SimpleQueue()

    def room(self) -> int:
        taken = len(self._buffer) + sum(map(len, self._under_way.values()))
        return max(AHEAD * BATCH * self._threads() - taken, 0)

    def submit(self, task: Task) -> None:
        self._buffer.append(task)

    def wait(self, seconds: float) -> list[Done]:
        self._send()
        try:
            future = self._finished.get(timeout=seconds)
        except queue.Empty:
            return []
        tasks = self._under_way.pop(future)
        if future.status != "finished":
            return [Done(task, None, f"its batch was {future.status}: {future.exception()}") for task in tasks]
        return [_done(task, text) for task, text in zip(tasks, future.result(), strict=True)]

    def close(self) -> None:
        self.client.unregister_worker_plugin(NAME)
        self.client.close()

    def _threads(self) -> int:
        return max(sum(self.client.nthreads().values()), 1)

    def _send(self) -> None:
        """Batches for all threads: none larger than BATCH, and small ones near the end."""
        size = min(BATCH, -(-len(self._buffer) // self._threads()))
        while self._buffer:
            batch, self._buffer = self._buffer[:size], self._buffer[size:]
            future = self.client.submit(mark_batch, [asdict(task) for task in batch], pure=False)
            self._under_way[future] = batch
            future.add_done_callback(self._finished.put)


def _done(task: Task, text: str) -> Done:
    return Done(task, Result.from_json(text)) if text else Done(task, None, "its checker died")


def _plugin(setup: Setup, any_tier: bool) -> Pairs:
    """The plugin, with the files of the lessons in it under names of their own."""
    files: dict[str, bytes] = {}
    named = {"lessons": {}, "solutions": {}}
    for kind in named:
        for lesson, path in getattr(setup, kind).items():
            named[kind][lesson] = f"{kind}/{lesson}.ipynb"
            files[named[kind][lesson]] = Path(path).read_bytes()
    return Pairs(replace(setup, hidden=[], **named), files, any_tier)
