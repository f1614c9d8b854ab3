"""Marking on a cluster: a real scheduler and real workers, as processes of their own on this machine."""

import asyncio
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from grader.books.errors import GraderError
from grader.books.journal import Journal
from grader.engines import cluster as engine
from grader.folder import Folder
from grader.grading import grade_course
from tests.grader.course import DOUBLE, MEAN, SLUG, STUB, hand_in, make_course, marks

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("cluster")]

START_S = 60


@pytest.fixture(scope="module", autouse=True)
def no_running_loop():
    """Playwright, of tests that ran before in this process, leaves an event loop running in the main thread."""
    running = asyncio.events._get_running_loop()
    asyncio.events._set_running_loop(None)
    yield
    asyncio.events._set_running_loop(running)


class Cluster:
    """A scheduler and workers of one thread. Their folder is none of the course's."""

    def __init__(self, folder: Path, workers: int, protocol: str = "tcp", **environment: str):
        self.folder, self.environment = folder, os.environ | environment
        folder.mkdir(parents=True)
        self.processes = []
        contact = folder / "scheduler.json"
        self.scheduler = self._start(
            *("scheduler", "--host", f"{protocol}://127.0.0.1", "--port", "0", "--scheduler-file", str(contact))
        )
        self._until(contact.exists)
        time.sleep(0.1)
        self.address = json.loads(contact.read_text())["address"]
        self.port = int(self.address.rpartition(":")[2])
        about = ("--nthreads", "1", "--memory-limit", "0", "--local-directory", str(folder))
        self.nannies = [self._start("worker", self.address, *about) for _ in range(workers)]
        for nanny in self.nannies:
            self._until(lambda nanny=nanny: "Registered to" in self._log(nanny))

    def _start(self, *words: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "dask", *words, "--no-dashboard"]
        log = open(self.folder / f"log{len(self.processes)}", "w")
        process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, env=self.environment)
        process.log = log.name
        log.close()
        self.processes.append(process)
        return process

    def _log(self, process: subprocess.Popen) -> str:
        return Path(process.log).read_text()

    def _until(self, holds) -> None:
        end = time.monotonic() + START_S
        while not holds():
            assert time.monotonic() < end, [self._log(process)[-2000:] for process in self.processes]
            time.sleep(0.05)

    def worker(self, place: int) -> psutil.Process:
        """The worker itself, which its nanny would start again: the child that holds the pairs."""
        return next(
            child
            for child in psutil.Process(self.nannies[place].pid).children()
            if any("grader.referee" in line for line in commands_below(child))
        )

    def pairs(self) -> list[str]:
        return [line for p in self.processes if p.poll() is None for line in commands_below(psutil.Process(p.pid))]

    def close(self) -> None:
        for process in self.processes:
            for each in [*psutil.Process(process.pid).children(recursive=True), process]:
                try:
                    each.kill()
                except psutil.NoSuchProcess:
                    continue
            process.wait()


def commands_below(process: psutil.Process) -> list[str]:
    found = []
    for child in process.children(recursive=True):
        try:
            found.append(" ".join(child.cmdline()))
        except psutil.Error:
            continue
    return [line for line in found if "grader.referee" in line]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("elsewhere") / "workers", workers=2)
    yield made
    made.close()


SLOW = "import time\n\n\ndef double(x):\n    time.sleep(0.4)\n    return 2 * x"


def make_class(root: Path, *extra: tuple[str, str, str]) -> Folder:
    """Sixteen who take half a second each, with different marks."""
    folder = make_course(root)
    (folder.root / "grading.toml").write_text("[budget]\ncell = 5\ncheck = 5\nsubmission = 20\n")
    means = [MEAN, "def mean(x):\n    return x.sum()", STUB, "def mean(x):\n    raise ValueError"]
    for i in range(16):
        hand_in(folder, f"student{i:02}", STUB if i % 5 == 4 else SLOW, means[i % 4])
    for student, double, mean in extra:
        hand_in(folder, student, double, mean)
    return folder


def grade(folder: Folder, at: dict[int, object] | None = None, **options):
    """Mark; after so many submissions do something."""
    waiting = dict(at or {})

    def tell(line: str) -> None:
        done = json.loads(line)["done"]
        for count in [count for count in waiting if count <= done]:
            waiting.pop(count)()

    outcome = grade_course(folder, (), (), tell=tell, as_json=True, **options)
    assert not waiting, f"only part of it happened: {waiting}"
    return outcome


def rows(folder: Folder) -> dict[str, list[tuple]]:
    """Of each student what the audit has: every posting of a mark."""
    with Journal(folder.journal, read_only=True) as journal:
        found = {key: key.split("/") for key in marks(folder)}
        return {key: [(r.grade_id, r.new) for r in journal.audit.rows(*names)] for key, names in found.items()}


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Folder:
    """The class as the local engine marks it."""
    folder = make_class(tmp_path_factory.mktemp("local"))
    assert grade(folder, workers=2).marked == 16
    return folder


def test_the_marks_are_those_of_the_local_engine_and_no_student_reaches_the_scheduler(cluster, local, tmp_path):
    call = f"socket.create_connection(('127.0.0.1', {cluster.port}), 2).close()"
    double = f"import socket\n\n\ndef double(x):\n    {call}\n    return 2 * x"
    folder = make_class(tmp_path / "course", ("caller", double, MEAN))
    socket.create_connection(("127.0.0.1", cluster.port), 2).close()  # it is there, for those outside the jail
    assert grade(folder, scheduler=cluster.address).marked == 17
    found = marks(folder)
    assert found.pop(f"caller/{SLUG}") == {"test_double": (0, "error"), "test_mean": (3, "passed")}
    assert found == marks(local)
    assert cluster.pairs() == []  # ended with the run, though the workers go on


def test_a_run_that_is_stopped_takes_its_pairs_along(cluster, tmp_path):
    """Ctrl-C, in the middle: the workers stay, the pairs do not."""
    folder = make_class(tmp_path / "course")
    command = [sys.executable, "-m", "grader", "grade", "--course", str(folder.root), "--scheduler", cluster.address]
    # Whatever started the tests in the background has Ctrl-C ignored, and children inherit that.
    heeded = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heeded)
    assert run.stdout.readline()  # the first line of progress
    assert len(cluster.pairs()) >= 2
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode != 0 and 0 < len(marks(folder)) < 16
    assert cluster.pairs() == []


def test_workers_that_are_killed_lose_and_double_nothing(cluster, local, tmp_path):
    folder = make_class(tmp_path / "course")

    def kill_one() -> None:
        cluster.worker(0).kill()

    def kill_one_for_good() -> None:
        worker = cluster.worker(1)
        cluster.nannies[1].kill()
        worker.kill()

    outcome = grade(folder, {1: kill_one, 5: kill_one_for_good}, scheduler=cluster.address)
    assert (outcome.marked, outcome.faults) == (16, 0)
    assert marks(folder) == marks(local) and rows(folder) == rows(local)


def test_a_worker_with_other_packages_is_refused(cluster, tmp_path, monkeypatch):
    folder = make_class(tmp_path / "course")
    monkeypatch.setattr(engine, "_identity", lambda setup: {"torch": "1.0"})
    with pytest.raises(GraderError, match="Expected torch 1.0 as where the marks are kept, got 2"):
        grade(folder, scheduler=cluster.address)
    assert marks(folder) == {}


def test_a_scheduler_that_dies_is_told_and_the_next_run_carries_on(cluster, local, tmp_path):
    folder = make_class(tmp_path / "course")
    with pytest.raises(GraderError, match="expected the scheduler to stay; got no connection.*run this again"):
        grade(folder, {1: cluster.scheduler.kill}, scheduler=cluster.address)
    before = len(marks(folder))
    assert 0 < before < 16
    outcome = grade(folder, workers=2)
    assert (outcome.already, outcome.marked) == (before, 16 - before)
    assert marks(folder) == marks(local) and rows(folder) == rows(local)


def test_where_no_scheduler_is_a_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "CONNECT_S", 1.0)
    folder = make_class(tmp_path / "course")
    for address in ("tcp://127.0.0.1:9", "nonsense://x:1", "tls://127.0.0.1:9"):
        with pytest.raises(GraderError, match="expected a Dask scheduler"):
            grade(folder, scheduler=address)


# With certificates.


def make_certificates(folder: Path) -> dict[str, str]:
    """An authority and a certificate from it, as Dask's settings in the environment."""
    folder.mkdir()

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl("req", "-x509", *new, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *new[:3], "-subj", "/CN=cluster", "-keyout", "key.pem", "-out", "request.pem")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    openssl("x509", "-req", "-in", "request.pem", *signed, "-out", "cert.pem")
    files = {"CA_FILE": "ca.pem"}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        files |= {f"{role}__KEY": "key.pem", f"{role}__CERT": "cert.pem"}
    settings = {f"DASK_DISTRIBUTED__COMM__TLS__{key}": str(folder / name) for key, name in files.items()}
    return settings | {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true"}


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("tls")
    settings = make_certificates(folder / "certificates")
    made = Cluster(folder / "workers", workers=1, protocol="tls", **settings)
    made.settings = settings
    yield made
    made.close()


@pytest.fixture(scope="module")
def pair_of_students(tmp_path_factory) -> Folder:
    folder = make_course(tmp_path_factory.mktemp("course"))
    hand_in(folder, "ada")
    hand_in(folder, "bob", DOUBLE, STUB)
    return folder


class TestCertificates:
    def refused(self, folder: Folder, address: str, **environment: str) -> str:
        code = (
            "from grader.engines import cluster\ncluster.CONNECT_S = 2\nfrom grader.__main__ import main\n"
            f"main(['grade', '--course', {str(folder.root)!r}, '--scheduler', {address!r}])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment
        )
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        assert marks(folder) == {}
        return done.stderr

    def test_nobody_gets_in_without_a_certificate(self, secured, pair_of_students, tmp_path):
        assert "expected a Dask scheduler" in self.refused(pair_of_students, secured.address)
        assert "expected a Dask scheduler" in self.refused(pair_of_students, secured.address.replace("tls", "tcp"))
        others = make_certificates(tmp_path / "others")
        assert "expected a Dask scheduler" in self.refused(pair_of_students, secured.address, **others)

    def test_with_one_a_class_is_marked(self, secured, pair_of_students):
        words = ["grade", "--course", str(pair_of_students.root), "--scheduler", secured.address]
        environment = os.environ | secured.settings
        done = subprocess.run([sys.executable, "-m", "grader", *words], capture_output=True, text=True, env=environment)
        assert (done.returncode, done.stderr) == (0, "") and "marked 2;" in done.stdout
        assert marks(pair_of_students)[f"bob/{SLUG}"] == {
            "test_double": (2, "passed"),
            "test_mean": (0, "not attempted"),
        }


def test_without_the_extra_all_but_scheduler_works(tmp_path):
    folder = make_course(tmp_path)
    hand_in(folder, "ada")
    code = "import sys\nsys.modules.update(dask=None, distributed=None)\nfrom grader.__main__ import main\nmain()"

    def run(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", code, "grade", "--course", str(folder.root), *words]
        return subprocess.run(command, capture_output=True, text=True)

    refused = run("--scheduler", "tcp://127.0.0.1:9")
    assert refused.returncode == 1 and "pip install 'attnlab[cluster]'" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "marked 1;" in run().stdout
