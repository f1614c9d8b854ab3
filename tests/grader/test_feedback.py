"""The page that a student gets back: complete, in the panel's words, and deaf to whatever a notebook holds."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnlab.checks import find_exercise
from attnlab.checks.marking import mark
from grader.books.errors import GraderError
from grader.pages.feedback import feedback_page, total, write_feedback
from grader.pages.markup import CODE, visible
from grader.referee.result import WORDS, CellRead, ExerciseResult, LawResult, MistakeNamed, Result, Verdict

HOSTILE = (
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)' x='",
    "</style><style>@import url(http://127.0.0.1:9/x)</style>",
    "</pre></code></main></body></html><h1>the end</h1>",
    "</title><base href=http://127.0.0.1:9/>",
    "<!-- <![CDATA[ ]]> --> <?php ?>",
    "<a href='javascript:alert(1)'>a</a> [a](javascript:alert(1))",
    "&lt;b&gt; &#60;script&#62; &amp",
    "\u202eevil\u202c \u2066x\u2069 \u200f",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "NUL\0 and DEL\x7f and C1\x9b",
    "half \ud800 of \udfff a character",
    "\r\rline\r\nend\u2028\u2029",
    "=cmd|' /C calc'!A0",
    "{0} %s {{card}} ${x}",
    "\U000e0041\ufeff\u200b",
)


class Skeleton(HTMLParser):
    """The tags of a page in their order, with their attributes, and the texts apart. Ids and labels are attributes."""

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.shape, self.texts = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        told = {name: "" if name == "aria-label" else value for name, value in attributes}
        self.shape.append((tag, tuple(sorted(told.items()))))

    def handle_endtag(self, tag):
        self.shape.append((f"/{tag}",))

    def handle_comment(self, data):
        self.shape.append(("a comment",))

    def handle_decl(self, data):
        self.shape.append(("a declaration", data))

    def handle_pi(self, data):
        self.shape.append(("an instruction",))

    unknown_decl = handle_pi

    def handle_data(self, data):
        self.texts.append(data)


def filled(texts) -> Result:
    """A result that has a text from the iterator in every field that can hold one."""
    name = next(texts)

    def law(held):
        return LawResult(next(texts), next(texts), 2, held)

    def exercise(grade_id, verdict, certainty, points):
        return ExerciseResult(
            grade_id=grade_id,
            verdict=verdict,
            points=points,
            max_points=4,
            words=next(texts),
            title=next(texts),
            exercise=next(texts),
            laws=[law(True), law(False)],
            certainty=certainty,
            mistakes=[MistakeNamed(*(next(texts) for _ in range(4))) for _ in range(2)],
            hint=next(texts),
            shortcuts=[next(texts)],
            staff=next(texts),
        )

    return Result(
        student=next(texts),
        lesson=next(texts),
        submission=next(texts),
        verdict=Verdict.PARTLY,
        exercises=[
            exercise(name, Verdict.PARTLY, "same outputs", 2),
            exercise(next(texts), Verdict.FAILED, "two mistakes", 0),
            exercise(next(texts), Verdict.FAILED, "same laws", 0),
            exercise(next(texts), Verdict.GRADER_FAULT, "unknown", None),
            exercise(next(texts), Verdict.MANUAL, "unknown", None),
        ],
        cells=[CellRead("code", next(texts), name, error=next(texts), ran=True), CellRead("markdown", next(texts))],
        notes=[next(texts), next(texts)],
        seed_id=next(texts),
        tier=next(texts),
        staff=next(texts),
    )


def in_turn(texts, shift=0):
    """The texts over and over, each time with a number behind, so that no two are equal."""
    place = shift
    while True:
        yield f"{texts[place % len(texts)]}{place}"
        place += 1


def answer(verdict=Verdict.PARTLY, points=3.0, **rest) -> ExerciseResult:
    laws = [LawResult("rows sum to one", "Do they?", 3, True), LawResult("right numbers", "Are they?", 2, False)]
    base = ExerciseResult("check_attention", verdict, points, 5, title="Attention", exercise="attention", laws=laws)
    return replace(base, **rest)


def result(*exercises, **rest) -> Result:
    return Result("ada", "05_self_attention", "ab" * 32, Verdict.PARTLY, list(exercises), **rest)


def text_of(page: str) -> str:
    """What is read on the page, without its style sheet, with single spaces."""
    return " ".join(" ".join(Skeleton(re.sub("<style>.*?</style>", "", page, flags=re.DOTALL)).texts).split())


@pytest.fixture(scope="module")
def plain_shape():
    return Skeleton(feedback_page(filled(in_turn(["plain"])), "plain")).shape


@pytest.mark.parametrize("shift", range(len(HOSTILE)))
def test_whatever_a_notebook_says_the_page_has_the_tags_of_the_template(plain_shape, shift):
    page = feedback_page(filled(in_turn(HOSTILE, shift)), HOSTILE[shift])
    assert Skeleton(page).shape == plain_shape
    page.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\u2028\u2029]", page)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(st.characters(), min_size=1, max_size=40), min_size=1, max_size=6))
def test_no_text_at_all_changes_the_tags(plain_shape, texts):
    assert Skeleton(feedback_page(filled(in_turn(texts)), "plain")).shape == plain_shape


def test_a_megabyte_in_every_field_makes_no_megabyte_of_page(plain_shape):
    page = feedback_page(filled(in_turn(["<b>" * 350_000])), "plain")
    assert Skeleton(page).shape == plain_shape
    assert len(page) < 1_000_000
    assert "more characters)" in page


def test_code_is_shown_as_it_was_typed():
    code = "def attention(q, k):\n\treturn q < k and q > k  # \"'&amp;\n"
    shown = Skeleton(feedback_page(result(answer(), cells=[CellRead("code", code, "attention")]))).texts
    assert code in shown


def test_code_beyond_the_limit_is_cut_and_said_to_be():
    page = feedback_page(result(answer(), cells=[CellRead("code", "x" * (CODE + 12_345), "attention")]))
    assert "(12,345 more characters)" in page


def test_only_the_students_own_cells_of_the_exercise_are_shown():
    cells = [
        CellRead("code", "the answer", "attention"),
        CellRead("code", "the check", "check_attention", own=False),
        CellRead("code", "another exercise", "scale"),
        CellRead("code", "a helper"),
    ]
    page = feedback_page(result(answer(), cells=cells))
    assert "the answer" in page
    assert not any(text in page for text in ("the check", "another exercise", "a helper"))


def test_what_is_for_staff_is_on_no_page():
    page = feedback_page(result(answer(staff="drawn: 0.1234"), staff="seed 77", seed_id="named-seed"))
    assert not any(text in page for text in ("drawn", "0.1234", "seed 77", "named-seed"))


def test_the_policy_names_the_hash_of_the_one_style_sheet():
    page = feedback_page(result(answer()))
    (style,) = re.findall("<style>(.*?)</style>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert " style=" not in page, "the policy would not let it hold"
    assert "<script" not in page


def test_every_verdict_is_said_in_its_sentence():
    for verdict in Verdict:
        points = None if verdict in (Verdict.MANUAL, Verdict.GRADER_FAULT) else 1.0
        told = text_of(feedback_page(result(answer(verdict, points))))
        assert WORDS[verdict] in told
        assert str(verdict) in told


def test_a_fault_of_the_grader_is_said_to_cost_nothing():
    faulty = result(answer(), answer(Verdict.GRADER_FAULT, None, grade_id="check_scale", title="Scale"))
    told = text_of(feedback_page(faulty))
    assert "this costs no points" in told
    assert "3 of 5 points, and 5 more not marked yet" in told
    whole = replace(result(), verdict=Verdict.GRADER_FAULT)
    assert "Not marked yet" in text_of(feedback_page(whole))
    assert WORDS[Verdict.GRADER_FAULT] in text_of(feedback_page(whole))


def test_a_file_that_is_no_notebook_gets_a_page_that_says_so():
    page = feedback_page(Result("ada", "05_self_attention", "", Verdict.UNREADABLE))
    assert WORDS[Verdict.UNREADABLE] in text_of(page)
    assert "0 points" in text_of(page)


@pytest.mark.parametrize(
    ("points", "expected"),
    [([5.0, 3.0], "8 of 10 points"), ([0.0, 2.5], "2.5 of 10 points"), ([1 / 3, 0], "0.33 of 10 points")],
)
def test_the_total_is_the_sum(points, expected):
    assert total(result(*(answer(points=each) for each in points))) == expected


def test_each_law_is_held_or_not_in_words_with_its_points():
    told = text_of(feedback_page(result(answer())))
    assert "rows sum to one Do they? ✓ held 3 of 3" in told
    assert "right numbers Are they? ✗ not held 0 of 2" in told


def test_notes_hints_shortcuts_and_failed_cells_are_told():
    cells = [CellRead("markdown", "# Hi"), CellRead("code", "1/0", "scale", error="ZeroDivisionError")]
    notes = ["The check of scale is missing; it was marked all the same."]
    told = text_of(
        feedback_page(result(answer(hint="Print it.", shortcuts=["calls F.sdpa"]), cells=cells, notes=notes))
    )
    for expected in (*notes, "Hint: Print it.", "calls F.sdpa", "Cell 2 (scale) ended in ZeroDivisionError"):
        assert expected in told


SEEN = (  # full name, the mistakes thrown together, what the diagnosis calls it
    ("self_attention.attention", ["no scale"], "same outputs"),
    ("self_attention.attention", ["softmax over queries", "mask upside down"], "two mistakes"),
    ("self_attention.rows_sum_to_one", None, "same outputs"),
)


@pytest.mark.parametrize(("name", "mistakes", "certainty"), SEEN)
def test_a_diagnosis_is_told_in_the_words_of_the_panel(name, mistakes, certainty):
    """A real answer, really marked: the page says what the panel in the notebook says."""
    exercise = find_exercise(name)
    known = {mistake.name: mistake for mistake in exercise.mistakes}
    made = [known[mistake] for mistake in mistakes or [next(iter(known))]]
    report = mark(exercise, made[0].answer if len(made) == 1 else made[0].composed_with(made[1]))
    assert report.diagnosed.certainty == certainty
    named = [MistakeNamed(m.name, m.belief, m.why, m.action) for m in report.diagnosed.mistakes]
    given_back = answer(
        exercise=exercise.name, certainty=certainty, mistakes=named, hunt=report.hunt, raised=report.raised
    )
    told = text_of(feedback_page(result(given_back)))
    lines = [" ".join(line.split()) for kind, line in report.lines() if kind in ("diagnosis", "why", "next")]
    assert len(lines) == 3
    assert [line for line in lines if line not in told] == []


def test_an_unknown_mistake_is_said_to_be_unknown_and_an_untouched_one_is_not():
    assert "no mistake that we know" in feedback_page(result(answer(certainty="unknown")))
    assert "mistake" not in text_of(feedback_page(result(answer(Verdict.NOT_ATTEMPTED, 0.0))))


def test_the_page_lies_where_nbgrader_puts_it_and_replaces_the_old_one(tmp_path):
    write_feedback(result(answer(points=1)), tmp_path)
    path = write_feedback(result(answer(points=4)), tmp_path, "Self-attention")
    assert path == tmp_path / "ada/05_self_attention/05_self_attention.html"
    assert "4 of 5 points" in path.read_text(encoding="utf-8")
    assert [each.name for each in path.parent.iterdir()] == [path.name], "nothing half-written is left"


@pytest.mark.parametrize("name", ["", ".", "..", "../ada", "a/b", "a\\b", "a\0b", "/etc"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    for field in ("student", "lesson"):
        with pytest.raises(GraderError, match="folder"):
            write_feedback(replace(result(answer()), **{field: name}), tmp_path / "feedback")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_seen_is_made_visible_and_the_rest_is_left_alone():
    assert visible("a\tb\nc é 漢 😀 \r\n") == "a\tb\nc é 漢 😀 \n"
    assert visible("\0\x1b\x7f\u202e\ud800\r") == "␀␛␡⟨U+202E⟩⟨U+D800⟩␍"
    for start in range(0, 0x110000, 0x1000):
        visible("".join(map(chr, range(start, start + 0x1000)))).encode("utf-8")
