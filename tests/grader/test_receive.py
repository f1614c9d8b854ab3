"""What is taken in, and what is refused by name without stopping anybody else."""

import os

import pytest

from grader.books.errors import GraderError
from grader.folder import Folder, seed_id
from grader.receive import Received, Rejected, scan
from grader.settings import read_settings
from tests.grader.course import SLUG, hand_in, make_course


@pytest.fixture
def folder(tmp_path) -> Folder:
    return make_course(tmp_path)


def taken(folder: Folder, *students: str) -> dict[str, Received | Rejected]:
    return {f.student if isinstance(f, Received) else f.where: f for f in scan(folder, [SLUG], students)}


def test_a_file_is_kept_by_its_hash_and_read_once(folder):
    path = hand_in(folder, "ada")
    received = taken(folder)["ada"]
    path.write_text("exchanged")
    assert folder.received(received.submission).read_text().startswith("{") and received.received_at is None


@pytest.mark.parametrize("name", ["a b", "ada.l", "ada@x.org", "Zoë", "李"])
def test_names_as_people_have_them_are_taken(folder, name):
    hand_in(folder, name)
    assert isinstance(taken(folder)[name], Received)


@pytest.mark.parametrize("name", ["ａｄａ", "a\nb", "=cmd", "-rf", "a\u202eb", "ada.", "a;b", "x" * 65, "ﬁn"])
def test_names_that_mislead_are_refused(folder, name):
    hand_in(folder, name)
    hand_in(folder, "bob")
    found = taken(folder)
    assert isinstance(found.pop("bob"), Received) and [type(f) for f in found.values()] == [Rejected]


def test_names_that_differ_in_case_alone_are_refused_both(folder):
    hand_in(folder, "Ada"), hand_in(folder, "ada")
    assert all(isinstance(f, Rejected) and "differ" in f.why for f in taken(folder).values())


def test_only_regular_files_of_the_students_own_are_read(folder, tmp_path):
    secret = tmp_path / "secret.ipynb"
    secret.write_text("{}")
    for student in ("link", "linked_folder", "pipe", "folder"):
        (folder.submitted / student).mkdir(parents=True)
    for student in ("link", "pipe", "folder"):
        (folder.submitted / student / SLUG).mkdir()
    (folder.submitted / "link" / SLUG / f"{SLUG}.ipynb").symlink_to(secret)
    (folder.submitted / "linked_folder" / SLUG).symlink_to(tmp_path)
    os.mkfifo(folder.submitted / "pipe" / SLUG / f"{SLUG}.ipynb")
    (folder.submitted / "folder" / SLUG / f"{SLUG}.ipynb").mkdir()
    hand_in(folder, "ada")
    found = taken(folder)
    assert isinstance(found.pop("ada"), Received) and len(found) == 4
    assert all(isinstance(f, Rejected) for f in found.values())


def test_a_time_is_believed_only_where_the_course_says_so(folder):
    path = hand_in(folder, "ada")
    (path.parent / "timestamp.txt").write_text("2020-01-02 03:04:05.000000 UTC")
    assert taken(folder)["ada"].received_at is None
    (folder.root / "grading.toml").write_text('timestamps = "file"\n')
    assert taken(Folder(folder.root))["ada"].received_at == "2020-01-02T03:04:05.000000+00:00"


def test_a_student_who_is_not_there_is_an_error(folder):
    hand_in(folder, "ada")
    with pytest.raises(GraderError, match="'bob'"):
        taken(folder, "bob")


def test_the_secret_is_made_once_and_is_its_owners_alone(folder):
    secret = folder.secret()
    assert folder.secret() == secret and len(secret) == 32
    assert (folder.grading / "secret").stat().st_mode & 0o777 == 0o600
    assert secret.hex() not in seed_id(secret)


class TestSettings:
    def test_without_a_file_the_defaults_hold(self, tmp_path):
        settings = read_settings(tmp_path)
        assert (settings.minimum_tier, settings.shortcuts, settings.limits.memory_mb) == ("A", "warn", 2048)

    def test_what_is_written_holds(self, tmp_path):
        text = 'minimum_tier = "B"\n[limits]\nmemory_mb = 512\n[budget]\ncell = 2.5\n'
        (tmp_path / "grading.toml").write_text(text)
        settings = read_settings(tmp_path)
        assert (settings.minimum_tier, settings.limits.memory_mb, settings.budget.cell) == ("B", 512, 2.5)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("minimum_tear = 'A'", "'minimum_tear'"),
            ("minimum_tier = 'Z'", "one of A, B, C"),
            ("shortcuts = 'off'", "ignore, warn, refuse"),
            ("max_notebook_mb = 'much'", "a number"),
            ("max_notebook_mb = 500", "at most 50"),
            ("[limits]\nmemory_mb = 0", "above zero"),
            ("[limits]\nmemory = 1", "one of memory_mb"),
            ("limits = 3", "a table"),
            ("course_id = ", "TOML"),
        ],
    )
    def test_what_means_nothing_is_refused_by_name(self, tmp_path, text, said):
        (tmp_path / "grading.toml").write_text(text)
        with pytest.raises(GraderError, match=said):
            read_settings(tmp_path)
