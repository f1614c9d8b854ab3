"""A disk that fills up at different steps: said in a sentence, and with room the run goes on where it stopped."""

import json
import os
import subprocess
import sys

import pytest

from tests.grader.course import SLUG
from tests.grader.kills import make_class

ROOM = (300, 900)  # KiB beyond the course itself: too little for the gradebook, and for all of the marks


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("room", ROOM)
def test_a_run_that_met_a_full_disk_is_finished_by_the_next(tmp_path, room):
    folder = make_class(tmp_path / "course", 12)
    size = sum((path.stat().st_size // 4096 + 1) * 4 for path in folder.root.rglob("*") if path.is_file())
    command = [sys.executable, "-m", "tests.grader.full_disk", str(folder.root), str(size + 16 + room)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["before"]["status"] == 1 and "Traceback" not in found["before"]["said"], found["before"]["said"]
    assert "full" in found["before"]["said"] or "room" in found["before"]["said"], found["before"]["said"]
    assert found["after"]["status"] == 0, found["after"]["said"]
    assert len(found["marks"]) == len(found["booked"]) == 12 and not found["left"]
    for student in range(12):
        key = f"student_{student:03}/{SLUG}"
        points = {name: points for name, (points, _) in found["marks"][key].items()}
        assert found["booked"][key] == points
        assert sum(points.values()) == [5, 3, 3, 3, 5][student % 5]
