"""Tier A, for real: what a student process can see, reach, use up and leave behind. As root and as an ordinary user."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from grader.jail import filter as seccomp
from grader.jail import syscalls
from grader.jail.tiers import Tier, probes, tier_reached
from tests.grader.jail_probe import Nursery, wait_until_gone

pytestmark = [
    pytest.mark.xdist_group("jail"),
    pytest.mark.skipif(tier_reached(probes()) < Tier.A, reason="this machine lacks what tier A needs"),
]
ROOT = os.geteuid() == 0
WHO = [
    pytest.param(False, id="as root", marks=pytest.mark.skipif(not ROOT, reason="not root")),
    pytest.param(True, id="as an ordinary user"),
]


@pytest.fixture(scope="module")
def course():
    """A course under /tmp: a part to show (with secrets in it), a part never named, symbolic links."""
    folder = Path(tempfile.mkdtemp(prefix="course-"))
    for path in ("shown/secret/ann", "shown/deep/nested", "elsewhere", "submitted/bob"):
        (folder / path).mkdir(parents=True)
    for path in ("shown/lesson.py", "shown/key.txt", "shown/secret/answers", "shown/deep/nested/x", "elsewhere/y"):
        (folder / path).write_text("42")
    (folder / "link").symlink_to("elsewhere")
    for path in (folder, *folder.rglob("*")):
        path.is_symlink() or path.chmod(0o777)  # so that it is the jail that refuses
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=WHO)
def nursery(request, course):
    visible = [course / "shown", course / "shown/deep/nested", course / "link"]
    hidden = [course / "shown/secret", course / "shown/key.txt", course / "missing"]
    secrets = {"SECRET_TOKEN": "t0psecret", "LD_PRELOAD": "libm.so.6", "PYTHONPATH": "/tmp", "PYTHONHASHSEED": "7"}
    with Nursery("A", visible, hidden, ordinary=request.param, **secrets) as made:
        assert made.hello.get("tier") == "A", made.hello
        yield made


def refusal(nursery: Nursery, code: str) -> int:
    """The errno with which `code` failed."""
    said = nursery.student(code)
    assert "error" in said, f"not refused: {said}"
    return said["errno"]


def test_of_the_course_only_what_was_named_can_be_seen(nursery, course):
    said = nursery.student(f"""
import os
from pathlib import Path
c = Path({str(course)!r})
answer = [sorted(os.listdir(c)), (c/'shown/lesson.py').read_text(), (c/'shown/deep/nested/x').read_text(),
          (c/'link/y').read_text(), os.listdir(c/'shown/secret'), (c/'shown/key.txt').read_text()]
""")
    assert said["answer"] == [["elsewhere", "link", "shown"], "42", "42", "42", [], ""]


def test_the_tree_holds_the_system_and_one_empty_home(nursery):
    said = nursery.student("import os; answer = [os.listdir('/home'), os.listdir('/home/student'), os.getcwd()]")
    assert said["answer"] == [["student"], [], "/home/student"]
    shadow = "open('/etc/shadow')"
    assert refusal(nursery, shadow) == errno.ENOENT
    assert nursery.student("import os; answer = os.path.exists('/var') or os.path.exists('/srv')")["answer"] is False


def test_only_harmless_devices_exist(nursery):
    said = nursery.student(
        "import os\nopen('/dev/null', 'w').write('x')\nanswer = [sorted(os.listdir('/dev')), len(os.urandom(3))]"
    )
    assert said["answer"] == [
        ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"],
        3,
    ]


def test_no_process_but_its_own_exists(nursery):
    said = nursery.student("""
import os
answer = [os.getpid(), os.getppid(), [name for name in os.listdir('/proc') if name.isdecimal()]]
""")
    assert said["answer"] == [1, 0, ["1"]]
    assert refusal(nursery, "import os; os.kill(-1, 9)") == errno.ESRCH
    assert refusal(nursery, "import os; os.kill(2, 9)") == errno.ESRCH


def test_a_server_on_this_machine_is_out_of_reach(nursery):
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)"
        assert refusal(nursery, code) == errno.ENETUNREACH


def test_an_abstract_socket_of_outside_is_out_of_reach(nursery):
    name = f"\0attnlab-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        code = f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})"
        assert refusal(nursery, code) == errno.ECONNREFUSED


def test_raw_and_other_sockets_are_refused(nursery):
    assert refusal(nursery, "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)") == errno.EPERM
    assert refusal(nursery, "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)") == errno.EPERM
    assert refusal(nursery, "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)") == errno.EPERM


def test_nothing_outside_its_three_folders_can_be_written(nursery, course):
    said = nursery.student(f"""
import os, sys
answer = {{}}
for place in ['/', '/usr', '/etc', '/dev', '/home', sys.prefix, sys.base_prefix,
              '/root', {str(course / "shown")!r}, {str(course / "shown/secret")!r}, '/sys/devices/system/cpu']:
    if os.path.isdir(place):
        try:
            open(place + '/written', 'w')
            answer[place] = 'written'
        except OSError as problem:
            answer[place] = problem.errno
""")
    assert len(said["answer"]) >= 9
    assert set(said["answer"].values()) <= {errno.EROFS, errno.EACCES}, said["answer"]
    assert refusal(nursery, "open('/proc/sys/kernel/hostname', 'w')") in (errno.EACCES, errno.EROFS)
    assert refusal(nursery, f"open({str(course / 'shown/lesson.py')!r}, 'a')") == errno.EROFS
    assert refusal(nursery, f"open({str(course / 'shown/key.txt')!r}, 'a')") in (errno.EACCES, errno.EROFS)


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm", "/home/student"])
def test_a_writable_folder_has_a_size(nursery, folder):
    code = f"""
import os
written = 0
try:
    for number in range(100):
        with open(f'{folder}/{{number}}', 'wb', buffering=0) as file:
            written += file.write(bytes(1 << 20))
except OSError as problem:
    answer = [problem.errno, written >> 20]
"""
    number, megabytes = nursery.student(code, scratch_mb=8)["answer"]
    assert number == errno.ENOSPC
    assert 7 <= megabytes <= 8


def test_a_file_has_a_size(nursery):
    code = "open('large', 'wb', buffering=0).write(bytes(3 << 20)); open('large', 'ab', buffering=0).write(b'x')"
    said = nursery.student(code, file_mb=3)
    assert said["errno"] == errno.EFBIG


def test_memory_over_the_limit_is_a_memory_error(nursery):
    assert nursery.student("x = bytearray(100 << 20); answer = len(x)", memory_mb=200)["answer"] == 100 << 20
    assert nursery.student("x = bytearray(400 << 20)", memory_mb=200)["error"] == "MemoryError"


@pytest.mark.parametrize(
    "code",
    [
        "import mmap; mmap.mmap(-1, 4096)",
        "import mmap; mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x100)",
        "import os; os.memfd_create('x')",
    ],
    ids=["shared map", "stack map", "memfd"],
)
def test_memory_that_no_limit_counts_is_refused(nursery, code):
    assert refusal(nursery, code) == errno.EPERM


@pytest.mark.parametrize("option", ["SO_SNDBUF", "SO_RCVBUF"])
def test_the_kernels_own_buffers_cannot_be_made_larger(nursery, option):
    code = f"import socket; socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.{option}, 1 << 22)"
    assert refusal(nursery, code) == errno.EPERM
    kept = "import socket; socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1); answer = 1"
    assert nursery.student(kept)["answer"] == 1


def test_a_private_map_and_shared_arrays_still_work(nursery):
    said = nursery.student("""
import mmap, multiprocessing as mp
mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
fork = mp.get_context('fork')
shared, (ours, theirs) = fork.Array('d', 3), fork.Pipe()
def work():
    shared[1] = 5.0
    theirs.send('done')
child = fork.Process(target=work)
child.start(); child.join()
answer = [list(shared), ours.recv()]
""")
    assert said.get("answer") == [[0.0, 5.0, 0.0], "done"], said


def test_a_fork_bomb_stops_at_the_limit_and_leaves_nobody(nursery):
    said = nursery.student(
        """
import os, time
count = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
        count += 1
except BlockingIOError:
    answer = count
""",
        processes=20,
    )
    assert said["answer"] == 19
    assert said["used"]["processes"] == 20
    assert said["left"] == 0


def test_a_daemon_ends_with_its_student(nursery):
    said = nursery.student("""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True: time.sleep(1)
    os._exit(0)
os.wait(); time.sleep(0.1)
answer = [name for name in os.listdir('/proc') if name.isdecimal()]
""")
    assert len(said["answer"]) == 2  # the daemon did run
    assert said["used"]["processes"] == 2
    assert said["left"] == 0


def test_it_holds_only_the_descriptor_that_was_kept(nursery):
    said = nursery.student("""
import os
place = '/proc/self/fd/'
names = {int(n): os.readlink(place + n) for n in os.listdir(place) if os.path.lexists(place + n)}
standard = {names[n] for n in (0, 1, 2)}
answer = [sorted(set(names) - {kept}), standard == {'/dev/null'}, names[kept].startswith('socket:')]
""")
    assert said["answer"] == [[0, 1, 2], True, True]


def test_the_environment_is_made_anew(nursery):
    said = nursery.student("""
import os, subprocess
shown = subprocess.run(['/usr/bin/env'], capture_output=True, text=True).stdout
answer = [sorted(os.environ), sorted(line.split('=')[0] for line in shown.splitlines()), os.environ['HOME']]
""")
    names = ["HF_HUB_OFFLINE", "HOME", "LANG", "MPLCONFIGDIR", "OMP_NUM_THREADS", "PATH", "PYTHONHASHSEED"]
    assert said["answer"] == [names, names, "/home/student"]


def test_the_environment_that_the_nursery_was_started_with_is_gone_from_memory(nursery):
    said = nursery.student("""
import ctypes
fields = open('/proc/self/stat').read().rpartition(')')[2].split()
start, end = int(fields[47]), int(fields[48])
answer = ctypes.string_at(start, end - start).strip(b'\\0').decode()
""")
    assert said["answer"] == ""


def test_it_has_no_capability_and_can_get_none(nursery):
    said = nursery.student("""
answer = dict(line.strip().split(':\\t') for line in open('/proc/self/status')
              if line.startswith(('Cap', 'NoNewPrivs', 'Seccomp:')))
""")
    nothing = "0" * 16
    assert said["answer"] == {
        **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), nothing),
        "NoNewPrivs": "1",
        "Seccomp": "2",
    }


def test_every_denied_call_is_denied(nursery):
    column = 0 if syscalls.MACHINE == "x86_64" else 1
    numbers = {name: both[column] for name, both in seccomp.DENIED.items() if both[column] is not None}
    said = nursery.student(f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
answer = {{}}
for name, number in {numbers}.items():
    answer[name] = ctypes.get_errno() if libc.syscall(number, 0, 0, 0, 0, 0, 0) == -1 else 'allowed'
""")
    assert said["answer"] == dict.fromkeys(numbers, errno.EPERM)


def test_no_way_into_a_new_name_space(nursery):
    clone, clone3 = (seccomp.EXAMINED[name][0 if syscalls.MACHINE == "x86_64" else 1] for name in ("clone", "clone3"))
    said = nursery.student(f"""
import ctypes, signal
libc = ctypes.CDLL(None, use_errno=True)
def error(*arguments):
    return ctypes.get_errno() if libc.syscall(*map(ctypes.c_long, arguments)) == -1 else 'allowed'
answer = [error({clone}, flag | signal.SIGCHLD, 0, 0, 0, 0) for flag in {[1 << 17, *(1 << b for b in range(25, 31))]}]
answer.append(error({clone3}, 0, 0))
""")
    assert said["answer"] == [errno.EPERM] * 7 + [errno.ENOSYS]


def test_it_is_root_neither_inside_nor_outside(nursery):
    said = nursery.student("import os; answer = [os.getresuid(), os.getresgid(), os.getgroups()]", hold=True)
    user, group, others = said["answer"]
    student = nursery.pids()[-1]
    status = dict(line.split(":\t") for line in Path(f"/proc/{student}/status").read_text().splitlines())
    nursery.release()
    assert user == group == [1000] * 3
    assert set(others) <= {65534}
    assert "0" not in status["Uid"].split()
    assert "0" not in status["Gid"].split()


@pytest.mark.skipif(not os.access("/usr/bin/mount", os.X_OK), reason="no set-user-id program to try")
def test_set_user_id_programs_give_no_rights(nursery):
    said = nursery.student("""
import os, subprocess
done = subprocess.run(['/usr/bin/mount', '-t', 'tmpfs', 'x', '/tmp'], capture_output=True, text=True)
answer = [done.returncode, *(bool(os.statvfs(p).f_flag & os.ST_NOSUID) for p in ('/', '/usr', '/tmp', '/home/student'))]
""")
    assert said["answer"][0] != 0
    assert said["answer"][1:] == [True] * 4


def test_one_student_leaves_the_next_nothing(nursery, course):
    nursery.student("""
for folder in ('/tmp', '/dev/shm', '/home/student'):
    open(folder + '/left', 'w').write('x')
import socket; s = socket.socket(socket.AF_UNIX); s.bind('\\0left')
""")
    said = nursery.student("import os; answer = [os.listdir(f) for f in ('/tmp', '/dev/shm', '/home/student')]")
    tmp, *others = said["answer"]  # where the project itself lies under /tmp, that is in sight too
    assert course.name in tmp and "left" not in tmp and others == [[], []]
    said = nursery.student("import socket; socket.socket(socket.AF_UNIX).connect('\\0left')")
    assert said["errno"] == errno.ECONNREFUSED


def test_its_machine_is_called_student(nursery):
    assert nursery.student("import socket; answer = socket.gethostname()")["answer"] == "student"
    assert socket.gethostname() != "student"


def test_processor_time_runs_out(nursery):
    said = nursery.student("while True: pass", cpu_seconds=1)
    assert said["status"] == -signal.SIGKILL


def test_usage_counts_the_whole_family(nursery):
    said = nursery.student("""
import os, time
ready, tell = os.pipe()
if os.fork() == 0:
    x = bytearray(os.urandom(1)) * (150 << 20)
    os.write(tell, b'!')
    time.sleep(60)
os.read(ready, 1)
until = time.process_time() + 0.3
while time.process_time() < until: pass
""")
    assert said["used"]["processes"] == 2
    assert 150 < said["used"]["memory_mb"] < 400
    assert 0.2 < said["used"]["cpu_seconds"] < 5


@pytest.mark.parametrize("ordinary", WHO)
def test_killing_the_outer_process_kills_all(ordinary):
    with Nursery("A", ordinary=ordinary) as nursery:
        code = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\n    os._exit(0)"
        nursery.student(code, hold=True)
        family = nursery.pids()
        assert len(family) == 4  # outer, nursery, student, its child
        nursery.process.kill()
        nursery.process.wait()
        assert wait_until_gone(family) == []


@pytest.mark.parametrize("ordinary", WHO)
@pytest.mark.parametrize(("request_", "status"), [({"do": "exit", "status": 7}, 7), ({"do": "die"}, -signal.SIGSEGV)])
def test_the_outer_process_ends_as_the_nursery_did(ordinary, request_, status):
    """Process 1 of a name space cannot die of SIGABRT, so abort() ends it with SIGSEGV or SIGILL, by the machine."""
    with Nursery("A", ordinary=ordinary) as nursery:
        with pytest.raises(AssertionError, match="the nursery died"):
            nursery.ask(**request_)
        ended = nursery.process.wait()
        assert ended == status or (status < 0 and ended in (-signal.SIGILL, -signal.SIGTRAP, -signal.SIGABRT))


@pytest.mark.skipif(not ROOT, reason="only root can cover part of /proc")
def test_where_no_fresh_proc_can_be_had_a_student_gets_none_and_is_still_watched():
    with Nursery("A", ordinary=True, masked=True) as nursery:
        assert len(nursery.hello["notes"]) == 1
        said = nursery.student("import os; answer = os.listdir('/proc')")
    assert said["answer"] == []
    assert said["used"]["processes"] == 1
    assert said["used"]["memory_mb"] > 1


def test_a_jail_asked_for_in_a_process_with_threads_says_what_to_do():
    code = (
        "import threading, time; threading.Thread(target=time.sleep, args=(5,), daemon=True).start()\n"
        "from grader.jail import outer, tiers\nouter.enter([], [], tiers.Tier.A)"
    )
    user = (
        {"user": 65534, "group": 65534, "extra_groups": []} if ROOT and not sys.base_prefix.startswith("/root") else {}
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, **user)
    assert done.returncode != 0
    assert "JailError" in done.stderr and "several threads" in done.stderr


@pytest.mark.parametrize("ordinary", WHO)
def test_time_to_a_student_process(ordinary, capsys):
    with Nursery("A", ordinary=ordinary) as nursery:
        milliseconds = nursery.ask(do="time", **{"import": []})["milliseconds"]
    with capsys.disabled():
        print(f"\nfork to ready, small nursery: median {milliseconds:.1f} ms")
    assert milliseconds > 0


def test_it_can_set_its_own_limits_but_no_other_processs(nursery):
    assert "answer" in nursery.student("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))")
    assert refusal(nursery, "import resource; resource.prlimit(1, resource.RLIMIT_CPU)") == errno.EPERM


def test_the_status_of_a_student_is_left_for_the_caller(nursery):
    """A second one may be forked before the first is waited for."""
    assert nursery.ask(do="two", limits={})["statuses"] == [3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("ordinary", WHO)
def test_a_nursery_with_torch_forks_students_that_can_use_it(ordinary, capsys):
    """What lessons do: a gradient, a figure, a shell. The time is printed, not judged."""
    with Nursery("A", ordinary=ordinary, OMP_NUM_THREADS="1") as nursery:
        modules = ["torch", "numpy", "matplotlib.pyplot", "IPython"]
        milliseconds = nursery.ask(do="time", **{"import": modules})["milliseconds"]
        said = nursery.student("""
import torch, matplotlib
matplotlib.use('Agg')
import matplotlib.pyplot as plt
from IPython.core.interactiveshell import InteractiveShell
x = torch.ones(3, requires_grad=True)
(x * x).sum().backward()
plt.plot([1, 2]); plt.savefig('figure.png')
shell = InteractiveShell.instance()
ran = shell.run_cell('y = 6 * 7')
answer = [x.grad.tolist(), len(open('figure.png', 'rb').read()) > 1000, shell.user_ns['y']]
""")
    with capsys.disabled():
        print(f"\nfork to ready, nursery with torch: median {milliseconds:.1f} ms")
    assert said.get("answer") == [[2.0, 2.0, 2.0], True, 42], said


@pytest.mark.skipif(not ROOT, reason="only root can be shown what an ordinary user may not read")
def test_a_visible_folder_that_the_student_could_not_read_is_refused_with_advice(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with Nursery("A", [closed]) as nursery:
        said = nursery.hello["refused"]
    assert str(closed) in said and "chmod o+rX" in said


def test_a_visible_path_that_is_missing_is_left_out(tmp_path):
    with Nursery("A", [tmp_path / "missing"]) as nursery:
        assert nursery.hello["tier"] == "A"


@pytest.mark.parametrize("ordinary", WHO)
def test_the_nursery_itself_has_no_network_and_no_sight_of_outside(ordinary):
    with Nursery("A", ordinary=ordinary) as nursery, socket.create_server(("127.0.0.1", 0)) as server:
        said = nursery.ask(do="look", port=server.getsockname()[1])
    assert said == {"connect": errno.ENETUNREACH, "pids": ["1"], "home": ["student"], "var": False}
