"""The grader run by an ordinary user, and where tier A is forbidden: it says so, and marks the same."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grader.folder import Folder
from tests.grader.course import DOUBLE, MEAN, SLUG, hand_in, make_course, marks

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else; as root is tested anyway")


@pytest.fixture
def folder(tmp_path_factory):
    """A course that user 65534 owns, in a place that everybody can reach."""
    root = tmp_path_factory.mktemp("who")
    made = make_course(root / "course")
    hand_in(made, "right")
    hand_in(made, "exits", "import os\ndef double(x):\n    os._exit(0)", MEAN)
    hand_in(
        made, "looks", f"import os\nassert os.getuid() and os.listdir(os.path.expanduser('~')) == []\n{DOUBLE}", MEAN
    )
    subprocess.run(["chown", "-R", "65534:65534", root], check=True)
    for parent in (root, *root.parents):
        if parent.stat().st_uid == 0 and parent != Path("/tmp") and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    yield made
    shutil.rmtree(root)


def run(who: str, folder: Folder, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "tests/grader/as_other.py"), who, *words, "--course", str(folder.root)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": "/tmp", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd="/", timeout=200)


FAIR = {"right": (2, 3), "exits": (0, 3), "looks": (2, 3)}


def points(folder: Folder) -> dict[str, tuple]:
    found = marks(folder)
    return {name: tuple(p for p, _ in found[f"{name}/{SLUG}"].values()) for name in FAIR}


@pytest.mark.slow
class TestWho:
    def test_an_ordinary_user_reaches_tier_a_and_marks_the_same(self, folder):
        doctor = json.loads(run("ordinary", folder, "doctor", "--json").stdout)
        assert doctor["tier"] == "A" and doctor["enough"]
        done = run("ordinary", folder, "grade")
        assert done.returncode == 0, done.stderr
        assert points(folder) == FAIR and folder.journal.stat().st_uid == 65534

    def test_without_user_name_spaces_it_says_its_tier_and_refuses(self, folder):
        done = run("bare", folder, "doctor", "--json")
        doctor = json.loads(done.stdout)
        failed = {probe["name"] for probe in doctor["probes"] if not probe["ok"]}
        assert done.returncode == 1 and doctor["tier"] in "BC" and "user name space" in failed
        refused = run("bare", folder, "grade")
        assert refused.returncode == 1 and f"got tier {doctor['tier']}" in refused.stderr

    def test_there_it_marks_the_same_when_told_to(self, folder):
        done = run("bare", folder, "grade", "--any-tier")
        assert done.returncode == 0, done.stderr
        assert points(folder) == FAIR
