"""Tiers B (Landlock) and C (limits only), for real: what they keep a student process from, and what they leave."""

import errno
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import pytest

from grader.jail import landlock
from grader.jail.tiers import Tier, probes, tier_reached
from tests.grader.jail_probe import Nursery, alive, wait_until_gone

pytestmark = pytest.mark.xdist_group("jail")
ROOT = os.geteuid() == 0
WORKING = {probe.name for probe in probes() if probe.ok}
needs_landlock = pytest.mark.skipif("Landlock" not in WORKING, reason="this kernel has no Landlock")


@pytest.fixture(scope="module")
def course():
    folder = Path(tempfile.mkdtemp(prefix="course-"))
    for path in ("shown/secret", "shown/deep", "submitted/bob"):
        (folder / path).mkdir(parents=True)
    for path in ("shown/lesson.py", "shown/key.txt", "shown/secret/answers", "shown/deep/x", "submitted/bob/work"):
        (folder / path).write_text("42")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777)  # so that it is the jail that refuses
    yield folder
    shutil.rmtree(folder)


def enter(tier: Tier, course: Path) -> Nursery:
    hidden = [course / "shown/secret", course / "shown/key.txt"]
    made = Nursery(tier, [course / "shown"], hidden, ordinary=True, SECRET_TOKEN="t0psecret")
    assert made.hello.get("tier") == tier, made.hello
    return made


@pytest.fixture(scope="module", params=[pytest.param(Tier.B, marks=needs_landlock), Tier.C])
def nursery(request, course):
    with enter(request.param, course) as made:
        yield made


@pytest.fixture(scope="module")
def landlocked(course):
    if "Landlock" not in WORKING:
        pytest.skip("this kernel has no Landlock")
    with enter(Tier.B, course) as made:
        yield made


def errors(nursery: Nursery, *statements: str) -> list:
    """The errno of each statement, or 'allowed'."""
    said = nursery.student(f"""
import os, socket
answer = []
for statement in {statements}:
    try:
        exec(statement)
        answer.append('allowed')
    except OSError as problem:
        answer.append(problem.errno)
""")
    return said["answer"]


def test_landlock_shows_what_was_named_and_not_what_was_hidden(landlocked, course):
    shown = [f"open('{course}/shown/lesson.py').read()", f"open('{course}/shown/deep/x').read()", "import wave"]
    assert errors(landlocked, *shown) == ["allowed"] * 3
    kept = [
        f"open('{course}/shown/key.txt')",
        f"open('{course}/shown/secret/answers')",
        f"os.listdir('{course}/shown/secret')",
        f"open('{course}/submitted/bob/work')",
        f"os.listdir('{course}')",
        "os.listdir('/home')",
        "open('/etc/passwd')",
        "os.listdir('/proc')",
        "open(f'/proc/{os.getppid()}/cmdline')",
    ]
    assert errors(landlocked, *kept) == [errno.EACCES] * len(kept)


def test_landlock_allows_writing_in_the_private_folder_only(landlocked, course):
    assert (
        errors(landlocked, "open('mine', 'w').write('x')", "os.makedirs(os.environ['TMPDIR'] + '/a/b')")
        == ["allowed"] * 2
    )
    kept = [f"open('{course}/shown/lesson.py', 'a')", "open('/tmp/written', 'w')", "open('/dev/shm/written', 'w')"]
    assert errors(landlocked, *kept) == [errno.EACCES] * 3


def test_landlock_and_the_filter_leave_no_socket_to_outside(landlocked):
    kept = ["socket.socket(socket.AF_INET)", "socket.socket(socket.AF_INET6)", "socket.socket(socket.AF_UNIX)"]
    kept.append("socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)")
    assert errors(landlocked, *kept) == [errno.EPERM] * 4
    assert errors(landlocked, "socket.socketpair()") == ["allowed"]


@pytest.mark.skipif("Landlock" not in WORKING or landlock.abi() < 6, reason="Landlock limits signals from version 6 on")
def test_landlock_keeps_the_nursery_from_being_killed(landlocked):
    assert errors(landlocked, "os.kill(os.getppid(), 9)", f"os.kill({os.getpid()}, 0)") == [errno.EPERM] * 2


def test_the_private_folder_is_empty_and_goes_with_its_student(nursery):
    said = nursery.student("import os; open('left', 'w').write('x'); answer = [os.getcwd(), os.environ['HOME']]")
    folder, home = said["answer"]
    assert folder == home
    assert not os.path.exists(folder)
    assert nursery.student("import os; answer = os.listdir('.')")["answer"] == []


def test_it_leads_a_session_of_its_own_as_no_root(nursery):
    said = nursery.student("import os; answer = [os.getsid(0) == os.getpid(), 0 in os.getresuid() + os.getresgid()]")
    assert said["answer"] == [True, False]
    said = nursery.student(
        "answer = [l.split()[1] for l in open('/proc/self/status') if l.startswith(('CapE', 'NoNew'))]"
    )
    assert said["answer"] == ["0" * 16, "1"]


def test_descriptors_and_environment_are_clean(nursery):
    said = nursery.student("""
import fcntl, os
def is_open(number):
    try:
        return bool(fcntl.fcntl(number, fcntl.F_GETFD) + 1)
    except OSError:
        return False
answer = [[n for n in range(256) if is_open(n) and n != kept], sorted(os.environ)]
""")
    assert said["answer"][0] == [0, 1, 2]
    assert set(said["answer"][1]) - {"PYTHONHASHSEED"} == {
        "HF_HUB_OFFLINE", "HOME", "LANG", "MPLCONFIGDIR", "OMP_NUM_THREADS", "PATH", "TMPDIR",
    }  # fmt: skip


def test_memory_and_file_size_are_limited(nursery):
    assert nursery.student("x = bytearray(400 << 20)", memory_mb=200)["error"] == "MemoryError"
    said = nursery.student(
        "f = open('large', 'ab', buffering=0)\nfor _ in range(3): f.write(bytes(1 << 20))", file_mb=1
    )
    assert said["errno"] == errno.EFBIG


def test_a_fork_bomb_and_its_daemons_are_killed(nursery):
    said = nursery.student(
        """
import os, time
count = 0
try:
    while True:
        if os.fork() == 0:
            os.setsid()
            try:
                if os.fork() == 0:
                    time.sleep(60)
            finally:
                os._exit(0)
        count += 1
except BlockingIOError:
    answer = count
""",
        processes=20,
    )
    assert 5 <= said["answer"] <= 25
    answers = nursery.student("import time; time.sleep(0.2); answer = 'alone'")
    assert answers["used"]["processes"] == 1


def test_a_daemon_that_left_the_session_is_killed_with_its_student(nursery):
    said = nursery.student("""
import os, time
ready, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(tell, str(os.getpid()).encode())
        while True: time.sleep(1)
    os._exit(0)
os.wait()
answer = int(os.read(ready, 20))
""")
    assert not alive(said["answer"])


@pytest.mark.parametrize("tier", [pytest.param(Tier.B, marks=needs_landlock), Tier.C])
def test_killing_the_outer_process_kills_the_nursery_and_the_student(tier):
    with Nursery(tier, ordinary=True) as nursery:
        folder = nursery.student("import os; answer = os.getcwd()", hold=True)["answer"]
        family = nursery.pids()
        assert len(family) == 3
        nursery.process.kill()
        nursery.process.wait()
        assert wait_until_gone(family) == []
    shutil.rmtree(folder)  # who was to do it was killed


@pytest.mark.skipif(
    not ROOT or not sys.base_prefix.startswith("/root/"), reason="an ordinary user can reach this Python"
)
@pytest.mark.parametrize("tier", [Tier.B, Tier.C])
def test_root_with_a_python_that_no_ordinary_user_can_reach_is_told_so(tier):
    with Nursery(tier) as nursery:
        said = nursery.hello["refused"]
    assert sys.base_prefix in said
    assert "Expected:" in said and "Got:" in said and "Do:" in said


@pytest.mark.skipif(tier_reached(probes()) < Tier.A, reason="needs tier A to compare with")
def test_in_tier_a_the_same_attempts_are_refused_too(course):
    with Nursery(Tier.A, [course / "shown"], [course / "shown/key.txt"], ordinary=True) as nursery:
        assert errors(nursery, f"open('{course}/submitted/bob/work')", "os.kill(-1, 9)") == [errno.ENOENT, errno.ESRCH]


def test_a_server_of_this_machine_is_in_reach_in_tier_c_only(nursery):
    with socket.create_server(("127.0.0.1", 0)) as server:
        reached = errors(nursery, f"socket.create_connection({server.getsockname()}, 2)")
    assert reached == (["allowed"] if nursery.hello["tier"] == "C" else [errno.EPERM])
