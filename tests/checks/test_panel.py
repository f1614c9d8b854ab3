"""The panel: six lines at most, the same in text and HTML, safe, and readable in light and dark themes."""

import re
from html.parser import HTMLParser

import pytest
import torch

from attnlab.checks import evaluate, lessons
from attnlab.checks.marking import mark
from attnlab.reference.attention import attention

NAME = "self_attention.attention"
EXERCISES = [exercise for lesson in lessons() for exercise in lesson.exercises.values()]
each_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.full_name)


def raises_html(*inputs, **keywords):
    raise ValueError("<script>alert(1)</script>")


def prints_html(*inputs, **keywords):
    print("<script>alert(2)</script><b>")
    return attention(*inputs, **keywords)


def unknown_error(query, key, value, mask=None):
    output, weights = attention(query, key, value, mask)
    return output * 1.2, weights


REPORTS = {
    "right": lambda: evaluate(NAME, attention),
    "wrong": lambda: evaluate(NAME, lambda q, k, v, mask=None: attention(q * 3, k, v, mask)),
    "unknown": lambda: evaluate(NAME, unknown_error),
    "raises": lambda: evaluate(NAME, raises_html),
    "prints": lambda: evaluate(NAME, prints_html),
    "not callable": lambda: evaluate(NAME, 3),
    "no such exercise": lambda: evaluate("<i>nothing</i>", attention),
}
each_report = pytest.mark.parametrize("kind", REPORTS)


class Text(HTMLParser):
    """The text of each innermost <div>, and all tags and styles that were met."""

    def __init__(self, page):
        super().__init__()
        self.pieces, self.tags, self.styles = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.styles += [value for name, value in attributes if name == "style"]

    def handle_data(self, data):
        self.pieces.append(data)


@each_report
def test_every_line_of_the_text_stands_in_the_panel_and_in_the_same_order(kind):
    report = REPORTS[kind]()
    words = " ".join("".join(Text(report.panel()).pieces).split())
    places = [words.find(" ".join(text.split())) for _, text in report.lines()]
    assert -1 not in places and places == sorted(places)


@each_report
def test_the_text_twin_is_what_a_terminal_prints(kind):
    report = REPORTS[kind]()
    assert report._repr_mimebundle_()["text/plain"] == str(report) == repr(report)
    assert str(report).startswith(report.message)


@each_exercise
def test_the_report_on_every_mistake_has_at_most_six_lines(exercise):
    for mistake in exercise.mistakes:
        report = mark(exercise, mistake.answer)
        assert len(report.lines()) <= 6, f"{mistake.name}: {report.message}"
        assert len(report.message.splitlines()) <= 6, f"{mistake.name}: {report.message}"


@each_report
def test_what_a_learner_wrote_never_becomes_markup(kind):
    tags = set(Text(REPORTS[kind]().panel()).tags)
    assert tags <= {"div", "table", "caption", "tr", "td", "details", "summary", "pre"}


def test_the_message_of_an_exception_is_escaped_in_html_and_as_it_is_in_text():
    bundle = evaluate(NAME, raises_html)._repr_mimebundle_()
    assert "<script>" not in bundle["text/html"] and "&lt;script&gt;alert(1)" in bundle["text/html"]
    assert "It raised ValueError: <script>alert(1)</script>" in bundle["text/plain"]


def test_what_was_printed_is_escaped_and_folded_away():
    panel = evaluate(NAME, prints_html).panel()
    assert "<details><summary>Your code printed</summary>" in panel
    assert "&lt;script&gt;alert(2)" in panel and "<script>" not in panel


def test_a_screen_reader_is_told_that_the_panel_is_news():
    assert 'role="status"' in evaluate(NAME, attention).panel()


def test_the_verdict_is_told_by_a_sign_and_words_not_by_colour_alone():
    assert evaluate(NAME, attention).message.startswith("✓")
    assert evaluate(NAME, unknown_error).message.startswith("✗")


def test_an_unknown_error_is_drawn_as_two_small_tables():
    report = evaluate(NAME, unknown_error)
    panel = report.panel()
    assert panel.count("<table>") == 2
    assert "your output" in panel and "expected output" in panel
    assert "Given query = " in panel and "Given query = " in str(report)
    assert report.example.got.numel() <= 6, "the example is small enough for pencil and paper"


def test_the_example_shows_numbers_that_came_with_the_tensors():
    report = evaluate("self_attention.scale", lambda scores, width: scores / width**0.45)
    assert "; width = " in str(report)


def test_the_example_of_an_exercise_without_tensors_is_its_smallest_case():
    report = evaluate("self_attention.causal_mask", lambda n: torch.ones(n, n, dtype=torch.bool).tril().flip(0))
    assert "Given length = 2" in str(report)


LIGHT, DARK = "#ffffff", "#111111"  # JupyterLab's own backgrounds
# What JupyterLab puts into the variables that the panel uses, theme by theme; None is no JupyterLab at all.
THEMES = {
    "light": {"--jp-layout-color1": LIGHT, "--jp-content-font-color1": "#212121"},
    "dark": {"--jp-layout-color1": DARK, "--jp-content-font-color1": "#ffffff"},
    "no JupyterLab": {},
}


def luminance(colour):
    """Relative luminance, WCAG 2.1."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def colour_of(style, name, theme):
    """A property's colour: the theme's where it sets the variable, else the fallback."""
    variable, fallback = re.search(rf"(?:^|;)\s*{name}: var\((--[\w-]+), (#\w{{6}})\)", style).groups()
    return theme.get(variable, fallback)


@each_report
@pytest.mark.parametrize("theme", THEMES)
def test_text_and_background_of_the_panel_differ_enough_in_every_theme(kind, theme):
    style = Text(REPORTS[kind]().panel()).styles[0]
    text = colour_of(style, "color", THEMES[theme])
    assert contrast(text, colour_of(style, "background", THEMES[theme])) >= 4.5


@each_report
def test_no_line_of_the_panel_has_a_text_colour_of_its_own(kind):
    """Such a colour would have to be read on both backgrounds; the themes' own is."""
    for style in Text(REPORTS[kind]().panel()).styles[1:]:
        assert not re.search(r"(?:^|;)\s*(color|background)[\w-]*:", style)


@each_report
@pytest.mark.parametrize("background", [LIGHT, DARK])
def test_the_coloured_edge_is_seen_on_both_backgrounds(kind, background):
    """It is no text: 3 to 1 is what WCAG asks of such a part."""
    edge = re.search(r"border-left: 6px solid (#\w{6})", REPORTS[kind]().panel()).group(1)
    assert contrast(edge, background) >= 3.0
