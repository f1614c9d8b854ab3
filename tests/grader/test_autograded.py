"""The notebook for Formgrader: the student's cells in order, the release's text where it counts, and nothing alive."""

import html
import re

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbconvert.exporters import HTMLExporter
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import is_grade, parse_utc

from grader.books import autograded
from grader.books.autograded import Release, fenced, notebook
from grader.books.errors import GraderError
from grader.referee.result import CellRead, LawResult, Result, Verdict
from tests.grader.test_gradebook import CHECKS, LESSON, MONDAY, RELEASED, mixed_release, result_of

ATTACKS = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror=alert(1)>",
    "```\n<script>window.hacked = 1</script>\n```",
    "`````\n</code></pre><svg onload=alert(1)>",
    "~~~\n<script>1</script>",
    "[x](javascript:alert(1)) ![y](x onerror=alert(1))",
    "$$</script><script>window.hacked = 1</script>$$",
    "\\begin{x}<img src=x onerror=alert(1)>\\end{x}",
    "text\n\n    <b>indented</b>\n<style>body { display: none }</style>",
    "<!-- --><iframe srcdoc='<script>1</script>'>",
]

HARMLESS = {"body", "main", "div", "pre", "span", "code"}


@pytest.fixture(scope="module")
def release():
    return Release(RELEASED)


@pytest.fixture(scope="module")
def exporter():
    """As Formgrader's, but for the page around it: markdown with its HTML, raw cells as they are."""
    return HTMLExporter(template_name="classic")


def by_id(shown) -> dict:
    return {c.metadata.nbgrader.grade_id: c for c in shown.cells if "nbgrader" in c.metadata}


def with_cells(*cells: CellRead, **more) -> Result:
    result = result_of("ann", **more)
    result.cells = list(cells)
    return result


def body(exporter, shown) -> str:
    page, _ = exporter.from_notebook_node(shown)
    return page[page.index("<body") :]


class TestTheNotebook:
    def test_it_is_valid_and_has_every_cell_once(self, release):
        shown = notebook(result_of("ann"), release)
        nbformat.validate(nbformat.reads(nbformat.v4.writes(shown), as_version=4))
        assert [cell.cell_type for cell in shown.cells] == [cell.kind for cell in result_of("ann").cells]
        assert len({cell.id for cell in shown.cells}) == len(shown.cells)
        assert (shown.nbformat, shown.nbformat_minor) == (4, 5)

    def test_the_same_result_gives_the_same_bytes(self, release, tmp_path):
        paths = [autograded.write(result_of("ann"), release, tmp_path / name, MONDAY) for name in "ab"]
        assert paths[0].read_bytes() == paths[1].read_bytes()

    def test_what_a_killed_run_left_beside_it_is_gone(self, release, tmp_path):
        path = autograded.write(result_of("ann"), release, tmp_path, MONDAY)
        (path.parent / f".{path.name}.4711.part").write_text("half")
        autograded.write(result_of("ann"), release, tmp_path, MONDAY)
        assert sorted(file.name for file in path.parent.iterdir()) == [path.name, "timestamp.txt"]

    def test_cells_stand_in_the_students_order(self, release):
        result = result_of("ann")
        result.cells.reverse()
        shown = notebook(result, release)
        assert [cell.source for cell in shown.cells] == [cell.text for cell in result.cells]

    def test_a_solution_shows_the_students_code_with_the_releases_metadata(self, release):
        shown = by_id(notebook(with_cells(CellRead("code", "def scale(): return 1", "scale")), release))
        assert shown["scale"].source == "def scale(): return 1"
        assert shown["scale"].metadata == release.named["scale"].metadata

    def test_a_check_shows_the_releases_text_whatever_was_handed_in(self, release):
        shown = by_id(notebook(with_cells(CellRead("markdown", "# full marks, please", "check_scale")), release))
        assert shown["check_scale"].source == release.named["check_scale"].source
        assert shown["check_scale"].cell_type == "code"

    def test_a_check_says_verdict_points_and_laws(self, release):
        result = result_of("ann", check_scale=4)
        exercise = next(e for e in result.exercises if e.grade_id == "check_scale")
        exercise.laws = [LawResult("v", "Is the variance one?", 4, True), LawResult("w", "Any width?", 2, False)]
        (output,) = by_id(notebook(result, release))["check_scale"].outputs
        assert output.text.splitlines() == [
            "partly passed: 4 of 6 points",
            "Some laws hold, some do not.",
            " holds  4  Is the variance one?",
            " fails  2  Any width?",
        ]

    def test_nothing_else_has_an_output(self, release):
        shown = notebook(result_of("ann"), release)
        assert {is_grade(cell) for cell in shown.cells if cell.get("outputs")} == {True}

    def test_what_is_for_a_person_says_so(self, release):
        result = result_of("ann", check_scale=Verdict.MANUAL)
        (output,) = by_id(notebook(result, release))["check_scale"].outputs
        assert output.text == "for a person: no points yet\nA person will mark this one.\n"

    def test_deleted_checks_and_solutions_come_at_the_end_so_that_they_can_be_marked(self, release):
        shown = notebook(with_cells(CellRead("code", "x = 1")), release)
        assert shown.cells[0].source == "x = 1"
        assert set(by_id(shown)) == set(release.named)
        assert by_id(shown)["scale"].source == "# This cell was not in the notebook that was handed in."

    def test_a_copied_cell_is_a_plain_cell_the_second_time(self, release):
        copies = [CellRead("code", f"scale = {n}", "scale") for n in (1, 2)]
        shown = notebook(with_cells(*copies), release)
        assert [cell.source for cell in shown.cells[:2]] == ["scale = 1", "scale = 2"]
        assert "nbgrader" not in shown.cells[1].metadata
        nbformat.validate(shown)

    def test_an_unreadable_file_still_has_its_checks(self, release):
        result = Result("ann", LESSON, "a", Verdict.UNREADABLE, notes=["It is <b>not</b> JSON."])
        shown = notebook(result, release)
        assert "could not be read as a notebook" in shown.cells[0].source and "```text" in shown.cells[0].source
        assert set(CHECKS) <= set(by_id(shown))

    def test_an_answer_in_words_keeps_its_place_for_a_mark(self, tmp_path):
        release = Release(mixed_release(tmp_path))
        result = Result("ann", "07_mixed", "a", Verdict.PARTLY, cells=[CellRead("markdown", "<b>so</b>", "why")])
        shown = by_id(notebook(result, release))
        assert shown["why"].source == "```text\n<b>so</b>\n```"
        assert shown["why"].metadata.nbgrader.points == 4
        nbformat.validate(notebook(result, release))

    def test_half_characters_do_not_stop_it(self, release, tmp_path):
        result = with_cells(CellRead("markdown", "a\ud800b"), CellRead("code", "'\udfff'", "scale"))
        path = autograded.write(result, release, tmp_path, MONDAY)
        assert "a⟨U+D800⟩b" in nbformat.read(path, as_version=4).cells[0].source


def tags_of(page: str) -> set[str]:
    return set(re.findall(r"<(\w+)", page))


class TestNothingAlive:
    def test_without_the_fence_it_would_be_alive(self, exporter):
        shown = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(ATTACKS[0], id="x")])
        assert "script" in tags_of(body(exporter, shown))

    @pytest.mark.parametrize("attack", ATTACKS)
    @pytest.mark.parametrize("kind", ["markdown", "raw", "code"])
    def test_what_a_student_wrote_is_text_in_the_page(self, release, exporter, attack, kind):
        shown = notebook(with_cells(CellRead(kind, attack)), release)
        shown.cells = shown.cells[:1]
        page = body(exporter, shown)
        assert tags_of(page) <= HARMLESS
        assert "javascript:" not in "".join(re.findall(r"<[^>]*>", page))
        assert attack.splitlines()[0].strip() in html.unescape(re.sub(r"<[^>]*>", "", page))

    @pytest.mark.parametrize("attack", ATTACKS)
    def test_nor_in_a_solution_or_under_a_checks_name(self, release, exporter, attack):
        result = with_cells(CellRead("code", attack, "scale"), CellRead("markdown", attack, "check_scale"))
        shown = notebook(result, release)
        shown.cells = shown.cells[:2]
        assert tags_of(body(exporter, shown)) <= HARMLESS

    def test_the_releases_own_prose_is_rendered(self, release):
        prose = next(iter(release.prose))
        shown = notebook(with_cells(CellRead("markdown", prose), CellRead("markdown", prose + " ")), release)
        assert shown.cells[0].source == prose and shown.cells[1].source.startswith("```")

    def test_a_claim_that_text_is_the_releases_is_not_believed(self, release):
        shown = notebook(with_cells(CellRead("markdown", "<script>", own=False)), release)
        assert shown.cells[0].source == "```text\n<script>\n```"

    @given(st.text(st.sampled_from("`~\n <>a$\\*[]()"), max_size=40))
    def test_no_text_gets_out_of_its_fence(self, exporter, text):
        shown = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(fenced(text), id="x")])
        page = body(exporter, shown)
        assert len(re.findall("<pre", page)) == 1
        (inside,) = re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
        assert html.unescape(re.sub("<[^>]*>", "", inside)).strip() == text.strip()
        assert tags_of(inside) <= {"span", "code"}


class TestTheFiles:
    def test_nbgrader_reads_the_time_of_receipt(self, release, tmp_path):
        path = autograded.write(result_of("ann"), release, tmp_path, "2026-03-02T10:00:00.123456+00:00")
        assert path == tmp_path / "ann" / LESSON / f"{LESSON}.ipynb"
        read = CourseDirectory().get_existing_timestamp(str(path.parent))
        assert read == parse_utc("2026-03-02T10:00:00.123456+00:00")
        assert sorted(file.name for file in path.parent.iterdir()) == [path.name, "timestamp.txt"]

    @pytest.mark.parametrize("student", ["../ann", "..", "a/b", ""])
    def test_no_name_leads_out_of_the_folder(self, release, tmp_path, student):
        with pytest.raises(GraderError, match="the name of a student"):
            autograded.write(result_of(student), release, tmp_path / "autograded", MONDAY)
        assert not list(tmp_path.iterdir())

    def test_a_new_one_replaces_the_old_one_whole(self, release, tmp_path, monkeypatch):
        path = autograded.write(result_of("ann"), release, tmp_path, MONDAY)
        before = path.read_bytes()

        def full(*_):
            raise OSError("no room")

        with monkeypatch.context() as patch, pytest.raises(OSError):
            patch.setattr("os.replace", full)
            autograded.write(result_of("ann", check_scale=5), release, tmp_path, MONDAY)
        assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 2
