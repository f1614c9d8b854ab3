"""Lesson 05 as a student has it: run untouched, answer wrongly, read the diagnosis, answer rightly.

pytest tests/browser -k 05        about two minutes; ATTNLAB_SCREENSHOTS=folder keeps the pictures
"""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

WRONG = """def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1]
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(dim=-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    return weights @ value, weights
"""
RIGHT = WRONG.replace("query.shape[-1]\n", "query.shape[-1] ** 0.5\n")


def test_run_all_then_a_wrong_answer_then_the_right_one(open_lesson, picture):
    lesson = open_lesson("05_self_attention")
    lesson.run_all()
    assert lesson.errors() == []
    figures = lesson.page.locator("figure.attnlab-figure img")
    assert figures.count() >= 6
    assert all(len(figure.get_attribute("alt")) > 40 for figure in figures.all())
    check = lesson.cell("check.attention(attention)")
    expect(check.locator(".attnlab-report")).to_contain_text("not attempted yet")
    picture(check, "05-1-untouched")

    answer = lesson.cell("def attention(query, key, value, mask=None)")
    lesson.write(answer, WRONG)
    lesson.run(check)
    panel = check.locator(".attnlab-report")
    expect(panel).to_contain_text("divided by the width, not by its square root")
    expect(panel).to_contain_text("Next: take the square root")
    picture(check, "05-2-wrong")

    lesson.write(answer, RIGHT)
    lesson.run(check)
    expect(panel).to_contain_text("all 14 points")
    picture(check, "05-3-right")
    assert lesson.complaints == []


def test_controls_work_from_the_keyboard_and_quiz_answers(open_lesson, picture):
    lesson = open_lesson("05_self_attention")
    lesson.run_all()
    explorer = lesson.cell("explore(weights_of_one_query")
    image = explorer.locator("figure.attnlab-figure img")
    before = image.get_attribute("src")
    explorer.locator(".noUi-handle").focus()
    lesson.page.keyboard.press("ArrowRight")
    expect(image).not_to_have_attribute("src", before)
    picture(explorer, "05-4-explorer")

    quiz = lesson.cell("check.quiz()")
    quiz.get_by_role("button", name="c", exact=True).nth(1).click()
    expect(quiz).to_contain_text("c: right. One query shares out one unit of attention")
    picture(quiz, "05-5-quiz")
    assert lesson.complaints == []


def test_the_views_are_alive_and_answer(open_lesson, picture):
    lesson = open_lesson("05_self_attention")
    lesson.run_all()
    frames = lesson.cell("explore(attend_to_frames")
    title = frames.locator(".al-stage:visible .al-title")
    expect(title).to_contain_text("seeing everything")
    frames.locator(".widget-dropdown select").select_option("the past only")
    expect(title).to_contain_text("seeing the past only")
    picture(frames, "05-7-frames")

    minilm = lesson.cell("heads(record, layer=layer")
    minilm.locator("canvas").focus()
    lesson.page.keyboard.press(".")
    expect(minilm.locator(".al-says")).to_contain_text("head 3")
    picture(minilm, "05-8-heads")

    control = lesson.cell("compare(untrained, theirs")
    expect(control.locator(".al-says")).to_contain_text("difference")
    picture(control, "05-9-compare")
    assert lesson.complaints == []


def test_the_panel_is_readable_in_the_dark_theme(open_lesson, picture):
    lesson = open_lesson("05_self_attention")
    lesson.menu("Settings", "Theme", "JupyterLab Dark")
    expect(lesson.page.locator("body")).to_have_attribute("data-jp-theme-light", "false")
    lesson.run(lesson.cell("from attnlab.checks.self_attention import check"))
    lesson.write(lesson.cell("def attention(query, key, value, mask=None)"), WRONG)
    check = lesson.cell("check.attention(attention)")
    lesson.run(check)
    panel = check.locator(".attnlab-report")
    expect(panel).to_contain_text("square root")
    picture(check, "05-6-dark")
    assert panel.evaluate(CONTRAST) >= 4.5


CONTRAST = """panel => {
    const light = colour => {
        const [r, g, b] = colour.match(/\\d+(\\.\\d+)?/g).map(Number).map(v => v / 255)
            .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const style = getComputedStyle(panel);
    const [a, b] = [light(style.color), light(style.backgroundColor)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
}"""
