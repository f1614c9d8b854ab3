"""Lesson 01 as a student has it: run untouched, answer wrongly, read the diagnosis, answer rightly, move the figures.

pytest tests/browser -k 01        some minutes: it trains; ATTNLAB_SCREENSHOTS=folder keeps the pictures
"""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

WRONG = """def masked_softmax(scores, lengths):
    mask = torch.arange(scores.shape[-1]) < lengths[..., None, None]
    return scores.softmax(dim=-1).masked_fill(~mask, 0.0)
"""
RIGHT = """def masked_softmax(scores, lengths):
    mask = torch.arange(scores.shape[-1]) < lengths[..., None, None]
    weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=-1)
    return weights.masked_fill(~mask, 0.0)
"""


def test_run_all_then_a_wrong_answer_then_the_right_one_and_the_figures_move(open_lesson, picture):
    lesson = open_lesson("01_rnn_attention")
    lesson.run_all()
    assert lesson.errors() == []
    figures = lesson.page.locator("figure.attnlab-figure img")
    assert figures.count() >= 5
    assert all(len(figure.get_attribute("alt")) > 40 for figure in figures.all())
    check = lesson.cell("check.masked_softmax(masked_softmax)")
    expect(check.locator(".attnlab-report")).to_contain_text("not attempted yet")

    answer = lesson.cell("def masked_softmax(scores, lengths)")
    lesson.write(answer, WRONG)
    lesson.run(check)
    panel = check.locator(".attnlab-report")
    expect(panel).to_contain_text("set to zero after the softmax, and the rest is left as it was")
    picture(check, "01-1-wrong")
    lesson.write(answer, RIGHT)
    lesson.run(check)
    expect(panel).to_contain_text("all 12 points")
    picture(check, "01-2-right")

    forgetting = lesson.cell("explore(forgetting")
    image = forgetting.locator("figure.attnlab-figure img")
    before = image.get_attribute("src")
    forgetting.locator(".noUi-handle").first.focus()
    lesson.page.keyboard.press("ArrowRight")
    expect(image).not_to_have_attribute("src", before)
    picture(forgetting, "01-3-forgetting")

    dates = lesson.cell("explore(aligned")
    title = dates.locator(".al-stage:visible .al-title")
    expect(title).to_contain_text("Written as 2026-07-20; the year looks most at “2026”")
    picture(dates, "01-4-date")
    box = dates.locator("input[type=text]").first
    box.fill("3 mars 1999")
    box.press("Enter")
    expect(title).to_contain_text("Written as 1999-03-03; the year looks most at “1999”")
    picture(dates, "01-5-french")

    numbers = lesson.cell("links(record, query=1")
    numbers.locator("canvas").focus()
    lesson.page.keyboard.press("ArrowDown")
    expect(numbers.locator(".al-says")).to_contain_text("2: ")
    picture(numbers, "01-6-links")
    assert lesson.complaints == []
