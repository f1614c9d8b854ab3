"""Pairs on many machines, through dask.distributed (the extra `cluster`; docs/cluster.md says how to start one).

A task is a batch of submissions, so that the cluster's own milliseconds vanish. Each worker holds its pairs, made by a
plugin; student code runs in their jailed grandchildren alone, never in a worker. A worker that is killed loses nothing:
its batch is run again elsewhere, and a batch that takes every worker down comes back submission by submission.

Files travel as bytes, so no folder has to be shared. The same seeds, tests and packages give the same marks everywhere,
so a worker with other packages than this machine's is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
import queue
import subprocess
import sys
import tempfile
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from grader.books.errors import GraderError
from grader.engines.local import SPARE_S, START_S
from grader.engines.task import Done, Task
from grader.identity import environment, tests_hash
from grader.jail.limits import Limits
from grader.jail.tiers import Tier
from grader.referee.budget import Budget
from grader.referee.master import read_master
from grader.referee.pair import Pair, PairDied, Setup
from grader.referee.result import Result
from grader.settings import Settings

try:
    import dask
    from distributed import Client, Future, Security, WorkerPlugin, get_worker
    from distributed.comm import connect
except ImportError as missing:
    do = "Install it, here and on the workers: pip install 'attnlab[cluster]'"
    raise GraderError("--scheduler", "dask.distributed, the extra `cluster`", str(missing), do) from missing

BATCH = 10  # submissions: about a second of work
BATCH_BYTES = 8 << 20
AHEAD = 2  # batches for each worker thread, so that none waits for the network
AHEAD_BYTES = 256 << 20  # of notebooks that the scheduler holds
CONNECT_S = 30.0
WORKERLESS_S = 60.0  # a worker that was killed comes back within this time, or somebody has to look
LOOK_S = 2.0  # between two looks at which workers there are
CLOSE_S = 30.0
ASK_TIER = "from grader.jail.tiers import probes, tier_reached; print(tier_reached(probes()))"


class Unfit(RuntimeError):
    """A worker's machine cannot mark: it isolates less than is asked for, has other packages, starts no checker."""


class Pairs(WorkerPlugin):
    """A worker's pairs, one for each thread. `any_tier`: also where the machine isolates less than asked for."""

    def __init__(self, given: Setup, files: dict[str, bytes], identity: dict[str, str], any_tier: bool):
        self.given, self.files, self.identity, self.any_tier = given, files, identity, any_tier

    async def setup(self, worker) -> None:
        """Write the lessons' files, look at the machine, start the pairs. Raises Unfit.

        Pairs are started by one thread that lives as long as the plugin: a pair dies with the thread that started it.
        """
        self.unfit, self.all, self.closed = "", set(), False
        self.free: queue.SimpleQueue[Pair] = queue.SimpleQueue()
        self.folder = tempfile.TemporaryDirectory(dir=worker.local_directory)  # dask sweeps what a kill leaves there
        self.starter = ThreadPoolExecutor(1, "attnlab-starter")
        try:
            await asyncio.wrap_future(self.starter.submit(self._prepare, worker.state.nthreads))
        except Exception as error:
            self.unfit = f"{worker.address}: {error}"
            raise Unfit(self.unfit) from error

    def _prepare(self, count: int) -> None:
        root = Path(self.folder.name)
        for name, data in self.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        placed = _with_paths(self.given, root)
        for name, expected in self.identity.items():
            if (got := _identity(placed).get(name)) != expected:
                raise Unfit(f"Expected {name} {expected} as where the marks are kept, got {got}. Install the same.")
        self.here = replace(placed, hidden=[str(root)], tier=self._tier())
        pairs = [self._start() for _ in range(count)]
        for pair in pairs:
            self._await_ready(pair)
            self.free.put(pair)

    def _tier(self) -> str:
        """The machine's tier, asked for in a process of its own: probing forks, and a worker has threads."""
        asked = subprocess.run([sys.executable, "-c", ASK_TIER], capture_output=True, text=True, check=True)
        reached, minimum = Tier(asked.stdout.strip()), Tier(self.given.tier)
        if reached < minimum and not self.any_tier:
            raise Unfit(f"Expected isolation of tier {minimum}, got tier {reached}. --any-tier marks all the same.")
        return reached.value

    def _start(self) -> Pair:
        pair = Pair(self.here)
        self.all.add(pair)
        if self.closed:
            pair.kill()
        return pair

    def _await_ready(self, pair: Pair) -> None:
        try:
            pair.receive(START_S)
        except PairDied as error:
            raise Unfit(f"Expected a checker that starts, got: {error}. The worker's log says more.") from error

    def teardown(self, worker) -> None:
        self.closed = True
        for pair in list(self.all):
            pair.kill()
        self.starter.shutdown(wait=False)
        self.folder.cleanup()

    def mark(self, task: dict) -> tuple[str, str]:
        """The result of one submission as JSON; or "", and what its pair died of. Raises Unfit."""
        if self.unfit:
            raise Unfit(self.unfit)
        pair = self.free.get()
        try:
            pair.send(**{field: value for field, value in task.items() if field != "key"})
            return pair.receive(self.here.budget["submission"] + SPARE_S).to_json(), ""
        except PairDied as error:
            pair.kill()
            self.all.discard(pair)
            pair = self.starter.submit(self._start).result()
            self._await_ready(pair)
            return "", str(error)
        finally:
            self.free.put(pair)


def mark_batch(name: str, tasks: list[dict]) -> list[tuple[str, str]]:
    """What a worker does: mark one submission after the other."""
    plugin: Pairs = get_worker().plugins[name]
    return [plugin.mark(task) for task in tasks]


class ClusterEngine:
    """The engine over a running scheduler. Raises GraderError where there is none, or no worker that is fit."""

    def __init__(self, setup: Setup, scheduler: str, any_tier: bool = False):
        self.scheduler = scheduler
        course = f"{platform.node()} {setup.hidden}"  # the next run of a killed one takes its place
        self.name = f"attnlab-{hashlib.sha256(course.encode()).hexdigest()[:12]}"
        self._buffer: list[Task] = []
        self._under_way: dict[Future, list[Task]] = {}
        self._finished: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._alone: set[str] = set()  # keys of what took a batch down
        self._bytes = 0  # of notebooks, waiting or under way
        plugin = _plugin(setup, any_tier)
        self.client = self._connected()
        try:
            self.client.register_plugin(plugin, name=self.name)
        except Exception as error:
            self.close()
            raise self._refusal("workers that can mark", str(error)) from error
        self.threads, self._seen = 1, time.monotonic()
        self._look()

    def _connected(self) -> Client:
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GiB"})  # a batch of notebooks is one
        try:
            asyncio.run(_knock(self.scheduler))
            client = Client(self.scheduler, timeout=CONNECT_S, set_as_default=False)
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            do = "Start one, and give the certificates to this command too if it has any (docs/cluster.md)."
            raise GraderError(self.scheduler, "a Dask scheduler", _told(error), do) from error
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
        except (OSError, RuntimeError) as error:
            client.close()
            do = "Start workers, with the scheduler's address (docs/cluster.md)."
            raise GraderError(self.scheduler, "at least one worker", _told(error), do) from error
        return client

    def room(self) -> int:
        taken = len(self._buffer) + sum(map(len, self._under_way.values()))
        return max(AHEAD * BATCH * self.threads - taken, 0) if self._bytes < AHEAD_BYTES else 0

    def submit(self, task: Task) -> None:
        self._buffer.append(task)
        self._bytes += len(task.notebook)

    def wait(self, seconds: float) -> list[Done]:
        if time.monotonic() > self._looked + LOOK_S:
            self._look()
        self._send()
        try:
            future = self._finished.get(timeout=seconds)
        except queue.Empty:
            return []
        tasks = self._under_way.pop(future)
        self._bytes -= sum(len(task.notebook) for task in tasks)
        try:
            answers = future.result()
        except Unfit as error:
            raise self._refusal("workers that can mark", str(error)) from error
        except (CancelledError, OSError) as error:
            raise self._refusal("the scheduler to stay", "no connection to it any more") from error
        except Exception as error:  # the batch took its workers down
            self._alone |= {task.key for task in tasks}
            return [Done(task, None, f"its workers: {error}") for task in tasks]
        return [_done(task, *answer) for task, answer in zip(tasks, answers, strict=True)]

    def close(self) -> None:
        """End this run's pairs on all workers, as far as they can be reached."""
        with suppress(Exception):
            if self.client.status == "running":
                self.client.cancel(list(self._under_way), force=True)
                unregister = self.client.scheduler.unregister_worker_plugin
                self.client.sync(unregister, name=self.name, callback_timeout=CLOSE_S)
        with suppress(Exception):
            self.client.close(timeout=CLOSE_S)

    def _look(self) -> None:
        """How many threads the workers have by now. Raises GraderError where there has been none for too long."""
        self._looked = time.monotonic()
        try:
            threads = sum(self.client.nthreads().values())
        except OSError as error:
            raise self._refusal("the scheduler to stay", "no connection to it any more") from error
        if threads:
            self.threads, self._seen = threads, self._looked
        elif self._looked > self._seen + WORKERLESS_S:
            raise self._refusal("workers", f"none for {WORKERLESS_S:.0f} s")

    def _refusal(self, expected: str, got: str) -> GraderError:
        do = "Mend or stop what it names, then run this again: what is marked stays, the rest is carried on with."
        return GraderError(self.scheduler, expected, got, do)

    def _send(self) -> None:
        """Batches for all threads: none larger than BATCH, and small ones where there is little to do."""
        taken = len(self._buffer) + sum(map(len, self._under_way.values()))
        size = min(BATCH, -(-taken // (AHEAD * self.threads)))
        while self._buffer:
            batch = [self._buffer.pop(0)]
            while self._buffer and self._fits(batch, self._buffer[0], size):
                batch.append(self._buffer.pop(0))
            future = self.client.submit(mark_batch, self.name, [asdict(task) for task in batch], pure=False)
            self._under_way[future] = batch
            future.add_done_callback(self._finished.put)

    def _fits(self, batch: list[Task], task: Task, size: int) -> bool:
        alone = self._alone & {batch[-1].key, task.key}
        return not alone and len(batch) < size and sum(len(t.notebook) for t in [*batch, task]) <= BATCH_BYTES


async def _knock(address: str) -> None:
    """Is anybody there who lets us in? A Client that nobody lets in would complain for as long as it lives."""
    comm = await connect(address, timeout=CONNECT_S, **Security().get_connection_args("client"))
    await comm.close()


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


def _done(task: Task, text: str, why: str) -> Done:
    return Done(task, Result.from_json(text) if text else None, why)


def _plugin(setup: Setup, any_tier: bool) -> Pairs:
    """The plugin, with the files of the lessons in it under names of their own."""
    files: dict[str, bytes] = {}
    named: dict[str, dict[str, str]] = {"lessons": {}, "solutions": {}}
    for kind, names in named.items():
        for lesson, path in getattr(setup, kind).items():
            names[lesson] = f"{kind}/{lesson}.ipynb"
            files[names[lesson]] = Path(path).read_bytes()
    return Pairs(replace(setup, hidden=[], **named), files, _identity(setup), any_tier)


def _with_paths(setup: Setup, root: Path) -> Setup:
    lessons, solutions = (
        {lesson: str(root / path) for lesson, path in paths.items()} for paths in (setup.lessons, setup.solutions)
    )
    return replace(setup, lessons=lessons, solutions=solutions)


def _identity(setup: Setup) -> dict[str, str]:
    """What has to be the same on every machine: packages by version, and each lesson's tests with all they rest on."""
    rules = Settings(shortcuts=setup.shortcuts, limits=Limits(**setup.limits), budget=Budget(**setup.budget))
    found = environment()
    for lesson, path in setup.lessons.items():
        source = setup.solutions.get(lesson)
        master = read_master(lesson, Path(path), Path(source) if source else None)
        found[f"attnlab and grader, as {lesson} uses them,"] = tests_hash(master, rules, setup.every_cell)[:12]
    return found
