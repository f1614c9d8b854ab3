"""No room on the disk: said in words, nothing half written, and it goes on when there is room again."""

import subprocess
import sys

import pytest

from grader.books.errors import JournalFull
from grader.books.journal import Journal
from tests.grader.test_journal import LESSON, finish, receive

FILL = """
import sys
from grader.books.errors import JournalFull
from grader.books.journal import Journal
from tests.grader.test_journal import finish, receive

journal = Journal(sys.argv[1])
done = 0
try:
    while True:
        finish(journal, receive(journal, f"s{done}"))
        done += 1
except JournalFull as error:
    print(done, error, sep="\\n")
journal.close()
"""


def test_a_full_database_refuses_the_row_and_keeps_the_others(tmp_path):
    path, done = tmp_path / "journal.db", 0
    with Journal(path) as journal:
        (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
        journal._db.execute(f"PRAGMA max_page_count = {pages + 20}")
        with pytest.raises(JournalFull, match="expected room on the disk; got .*full.* Free some space and run again"):
            while True:
                finish(journal, receive(journal, f"s{done}"))
                done += 1
        assert not journal._db.in_transaction
    assert_whole_and_usable(path, done)


def test_a_full_disk_refuses_the_row_and_keeps_the_others(tmp_path):
    """A real file system of 400 KiB, in a mount name space of its own."""
    disk, safe = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir(), safe.mkdir()
    script = 'mount -t tmpfs -o size=400k none "$1" && "$2" -c "$3" "$1/journal.db" && cp "$1"/journal.db* "$4"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    probe = subprocess.run([*command[:5], "-c", 'mount -t tmpfs none "$1"', "sh", disk], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"no mount name spaces here: {probe.stderr.strip()}")
    run = subprocess.run([*command, disk, sys.executable, FILL, safe], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    done, said = run.stdout.strip().split("\n")
    assert "Free some space and run again" in said
    assert_whole_and_usable(safe / "journal.db", int(done))


def assert_whole_and_usable(path, done: int) -> None:
    assert done > 3
    with Journal(path) as journal:
        assert journal._db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert journal.audit.verify() is None
        assert all(journal.latest(f"s{number}", LESSON).state == "committed" for number in range(done))
        assert len(list(journal.audit.rows())) == 2 * done
        key = receive(journal, f"s{done}")
        if journal.entry(key).state == "received":
            finish(journal, key)
        journal.committed(key)
        assert len(list(journal.audit.rows())) == 2 * done + 2
