"""Lesson 02 as a student has it: run untouched, answer wrongly, read the diagnosis, answer rightly.

pytest tests/browser -k lesson_02        about three minutes; ATTNLAB_SCREENSHOTS=folder keeps the pictures
"""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

WRONG = """def excite(summary, down, up):
    return ((summary @ down.mT).relu() @ up.mT).softmax(dim=-1)
"""
RIGHT = WRONG.replace("softmax(dim=-1)", "sigmoid()")


def test_run_all_then_a_wrong_answer_then_the_right_one(open_lesson, picture):
    lesson = open_lesson("02_squeeze_excitation")
    lesson.run_all()
    assert lesson.errors() == []
    figures = lesson.page.locator("figure.attnlab-figure img")
    assert figures.count() >= 4
    assert all(len(figure.get_attribute("alt")) > 40 for figure in figures.all())
    check = lesson.cell("check.excite(excite)")
    expect(check.locator(".attnlab-report")).to_contain_text("not attempted yet")
    picture(check, "02-1-untouched")

    lesson.write(lesson.cell("def excite(summary, down, up)"), WRONG)
    lesson.run(check)
    panel = check.locator(".attnlab-report")
    expect(panel).to_contain_text("the gates come from a softmax over the channels")
    expect(panel).to_contain_text("Next: use a sigmoid")
    picture(check, "02-2-wrong")

    lesson.write(lesson.cell("def excite(summary, down, up)"), RIGHT)
    lesson.run(check)
    expect(panel).to_contain_text("all 9 points")
    picture(check, "02-3-right")
    picture(lesson.cell("Only a gate that knows the whole picture"), "02-4-lamp")
    assert lesson.complaints == []


def test_the_sliders_and_the_gates_answer_to_the_keyboard(open_lesson, picture):
    lesson = open_lesson("02_squeeze_excitation")
    lesson.run_all()
    explorer = lesson.cell("explore(through_the_gates")
    image = explorer.locator("figure.attnlab-figure img")
    before = image.get_attribute("src")
    explorer.locator(".widget-dropdown select").select_option("flower")
    expect(image).not_to_have_attribute("src", before)
    before = image.get_attribute("src")
    explorer.locator(".noUi-handle").first.focus()
    lesson.page.keyboard.press("Home")
    expect(image).not_to_have_attribute("src", before)
    picture(explorer, "02-5-sliders")

    photos = lesson.cell("standard = (summary")
    photos.locator("canvas").first.focus()
    lesson.page.keyboard.press("ArrowUp")
    expect(photos.locator(".al-says")).to_contain_text("flower")
    picture(photos, "02-6-photos")

    lamps = lesson.cell("record = capture(network, tests[chosen])")
    lamps.locator("canvas").first.focus()
    for _ in range(4):
        lesson.page.keyboard.press("ArrowDown")
    expect(lamps.locator(".al-says")).to_contain_text("lamp off 1")
    picture(lamps, "02-7-lamps")

    digits = lesson.cell("examples = [ink")
    digits.locator("canvas").first.focus()
    lesson.page.keyboard.press("PageUp")
    expect(digits.locator(".al-says")).to_contain_text("layer 2")
    picture(digits, "02-8-digits")

    quiz = lesson.cell("check.quiz()")
    quiz.get_by_role("button", name="c", exact=True).nth(1).click()
    expect(quiz).to_contain_text("c: right. One number for each channel of each picture")
    picture(quiz, "02-9-quiz")
    assert lesson.complaints == []
