"""nbgrader's Formgrader over what the grader wrote: counts, code, scores, a person's mark, a student who attacks it."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from grader.books import posting
from grader.books.autograded import Release, stamp
from grader.books.gradebook import Book
from grader.books.journal import Journal
from grader.referee.result import CellRead
from tests.browser.lab import HERE, cut_off, served
from tests.grader.test_gradebook import CHECKS, LESSON, RELEASED, result_of

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("formgrader")]

ATTACK = "<script>window.hacked = 'script'; alert(1)</script><img src=x onerror=\"window.hacked = 'img'; alert(2)\">"
ATTACKS = [
    ATTACK,
    f"```\n{ATTACK}\n```",
    f"`````\n</code></pre>{ATTACK}",
    f"$${ATTACK}$$",
    f"[x](javascript:alert(3)) {ATTACK}",
]
NO_MATHJAX = "MathJax is not defined"  # Formgrader takes it from the network
CONFIG = """
c = get_config()
c.CourseDirectory.course_id = "attnlab"
c.CourseDirectory.root = {root!r}
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "lessons"
"""


class Course:
    """A course folder as the grader leaves it, and the server over it."""

    def __init__(self, root: Path, address: str):
        self.root, self.address = root, address
        self.release = Release(RELEASED)

    def post(self, student: str, submission: str, tests: str = "t1", cells=(), **points) -> None:
        """Receive, mark and commit a submission, as a run of the grader does."""
        with Journal(self.root / "journal.db") as journal, Book(self.db_url, "attnlab") as book:
            key = journal.receive(submission, student, LESSON, tests, "env", "seed")
            result = result_of(student, submission=submission, **points)
            names = {cell.grade_id for cell in cells if cell.grade_id}
            result.cells = [*cells, *(cell for cell in result.cells if cell.grade_id not in names)]
            journal.mark(key, result)
            stamp(self.root / "submitted" / student / LESSON, journal.entry(key).received_at)
            posting.post(journal, book, key, self.release, self.root / "autograded")
            posting.post(journal, book, key, self.release, self.root / "autograded")

    def repeat(self, student: str) -> None:
        """The step that a killed run would do again."""
        with Journal(self.root / "journal.db") as journal, Book(self.db_url, "attnlab") as book:
            entry = journal.latest(student, LESSON)
            book.commit(journal.result(entry.key), entry.received_at)

    def audited(self, student: str) -> list[tuple]:
        with Journal(self.root / "journal.db") as journal, Book(self.db_url, "attnlab") as book:
            posting.notice_people(journal, book, LESSON)
            rows = journal.audit.rows(student=student)
            return [(row.what, row.new) for row in rows if row.grade_id == "check_scale"]

    def scores(self, student: str, name: str) -> tuple:
        with sqlite3.connect(self.root / "gradebook.db") as db:
            return db.execute(
                """SELECT g.auto_score, g.manual_score, g.needs_manual_grade FROM grade g
                   JOIN base_cell c ON c.id = g.cell_id JOIN submitted_notebook n ON n.id = g.notebook_id
                   JOIN submitted_assignment s ON s.id = n.assignment_id WHERE s.student_id = ? AND c.name = ?""",
                (student, name),
            ).fetchone()

    @property
    def db_url(self) -> str:
        return f"sqlite:///{self.root / 'gradebook.db'}"


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    root, home = tmp_path_factory.mktemp("course"), tmp_path_factory.mktemp("home")
    (root / "solutions" / LESSON).mkdir(parents=True)
    shutil.copytree(RELEASED.parent, root / "lessons" / LESSON)
    for student in ("ann", "eve"):
        (root / "submitted" / student / LESSON).mkdir(parents=True)
        shutil.copy(RELEASED, root / "submitted" / student / LESSON)
    (home / ".jupyter").mkdir()
    (home / ".jupyter" / "nbgrader_config.py").write_text(CONFIG.format(root=str(root)))
    with Book(f"sqlite:///{root / 'gradebook.db'}", "attnlab") as book:
        book.prepare(LESSON, RELEASED)
    with served(root, home) as address:
        course = Course(root, address)
        written = CellRead("code", "def scale(scores, width):\n    return scores / width**0.5", "scale")
        course.post("ann", "a", cells=[written], check_scale=2.5)
        hostile = [CellRead(kind, text) for text in ATTACKS for kind in ("markdown", "raw", "code")]
        course.post("eve", "e", cells=[*hostile, CellRead("code", ATTACK, "scale")])
        yield course


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    cut_off(context)  # the page asks for MathJax from the network; it does without
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.complaints = []
    page.on("dialog", lambda dialog: (page.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("pageerror", lambda error: page.complaints.append(str(error)) if str(error) != NO_MATHJAX else None)
    page.on("console", lambda message: page.complaints.append(message.text) if _ours(message) else None)
    yield page
    context.close()


def _ours(message) -> bool:
    """An error that is not the missing network."""
    return message.type == "error" and bool(HERE.match(message.location.get("url", "")))


def open_submission(page: Page, course: Course, student: str) -> None:
    with sqlite3.connect(course.root / "gradebook.db") as db:
        (id,) = db.execute(
            """SELECT n.id FROM submitted_notebook n JOIN submitted_assignment s ON s.id = n.assignment_id
               WHERE s.student_id = ?""",
            (student,),
        ).fetchone()
    page.goto(f"{course.address}/formgrader/submissions/{id}/")
    expect(page.locator("#check_scale")).to_be_visible()
    page.wait_for_load_state("networkidle")


def test_the_lists_show_the_assignment_its_submissions_and_their_scores(course, page):
    page.goto(f"{course.address}/formgrader/manage_assignments")
    row = page.locator("tr", has_text=LESSON)
    expect(row.locator("td.num-submissions")).to_have_text("2")

    page.goto(f"{course.address}/formgrader/gradebook/{LESSON}/{LESSON}")
    rows = page.locator("tbody#main-table tr")
    expect(rows).to_have_count(2)
    most = sum(CHECKS.values())
    shown = sorted(rows.nth(i).inner_text() for i in range(2))
    assert any(f"{len(CHECKS) + 1.5} / {most}" in text for text in shown), shown

    page.goto(f"{course.address}/formgrader/manage_submissions/{LESSON}")
    expect(page.locator("tr", has_text="ann")).to_contain_text("graded")


def test_a_submission_shows_the_students_code_and_each_checks_verdict(course, page, picture):
    open_submission(page, course, "ann")
    expect(page.locator("#notebook").first).to_contain_text("return scores / width")
    expect(page.locator("#scale-comment")).not_to_have_attribute("placeholder", "No response.")
    expect(page.locator("#attention-comment")).to_have_attribute("placeholder", "No response.")
    expect(page.locator("#notebook").first).to_contain_text("partly passed: 2.5 of 6 points")
    expect(page.locator("#check_scale")).to_have_attribute("placeholder", "2.5")
    assert page.locator("input.score").count() == len(CHECKS)
    assert not page.complaints
    picture(page, "formgrader")


def test_a_score_typed_into_the_page_is_stored_and_stays(course, page):
    open_submission(page, course, "ann")
    with page.expect_response(lambda answer: "/api/grade/" in answer.url and answer.request.method == "PUT") as saved:
        page.locator("#check_scale").fill("4.5")
        page.locator("#check_scale").press("Tab")
    assert saved.value.ok
    assert course.scores("ann", "check_scale") == (2.5, 4.5, 0)

    course.repeat("ann")
    assert course.scores("ann", "check_scale") == (2.5, 4.5, 0)
    course.post("ann", "a", tests="t2", check_scale=3)
    assert course.scores("ann", "check_scale") == (3, 4.5, 1)
    assert course.audited("ann") == [("auto", 2.5), ("manual", 4.5), ("auto", 3)]

    open_submission(page, course, "ann")
    expect(page.locator("#check_scale")).to_have_value("4.5")
    expect(page.locator("#notebook").first).to_contain_text("partly passed: 3 of 6 points")
    assert not page.complaints


def test_what_a_student_wrote_does_nothing_in_the_page(course, page, picture):
    open_submission(page, course, "eve")
    assert page.evaluate("window.hacked") is None
    assert not page.complaints
    assert page.locator("#notebook img[src=x]").count() == page.locator("#notebook script").count() == 0
    shown = page.locator("#notebook").first.inner_text()
    assert shown.count("window.hacked = 'script'") == len(ATTACKS) * 3 + 1, "all of it is there, as text"
    picture(page, "formgrader_hostile")


def test_the_same_attack_rendered_would_do_something(course, page):
    """So that the test above can fail."""
    open_submission(page, course, "eve")
    page.evaluate("text => { document.body.insertAdjacentHTML('beforeend', text) }", ATTACK)
    page.wait_for_function("window.hacked === 'img'")
    assert any(line.startswith("dialog") for line in page.complaints)
