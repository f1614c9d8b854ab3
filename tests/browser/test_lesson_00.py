"""Lesson 00 as a student has it: run untouched, answer wrongly, read the diagnosis, ask for a hint, answer rightly.

pytest tests/browser -k 00        about a minute; ATTNLAB_SCREENSHOTS=folder keeps the pictures
"""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

RIGHT = """def softmax(scores, temperature=1.0):
    scores = scores / temperature
    powers = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    return powers / powers.sum(dim=-1, keepdim=True)
"""
WRONG = RIGHT.replace("scores / temperature", "scores * temperature")


def test_run_all_then_a_wrong_answer_a_hint_and_the_right_one(open_lesson, picture):
    lesson = open_lesson("00_welcome")
    lesson.run_all()
    assert lesson.errors() == []
    figures = lesson.page.locator("figure.attnlab-figure img")
    assert figures.count() >= 5
    assert all(len(figure.get_attribute("alt")) > 40 for figure in figures.all())
    check = lesson.cell("check.softmax(softmax)")
    panel = check.locator(".attnlab-report")
    expect(panel).to_contain_text("not attempted yet")
    picture(check, "00-1-untouched")

    answer = lesson.cell("def softmax(scores, temperature=1.0)")
    lesson.write(answer, WRONG)
    lesson.run(check)
    expect(panel).to_contain_text("the scores are multiplied by the temperature")
    expect(panel).to_contain_text("Next: divide the scores by the temperature")
    picture(check, "00-2-wrong")

    # An error in the learner's own line is quoted, not thrown at them as a traceback of ours.
    lesson.write(answer, WRONG.replace("scores * temperature", "scores @ temperature"))
    lesson.run(check)
    expect(panel).to_contain_text("It raised TypeError")
    expect(panel).to_contain_text("scores = scores @ temperature")
    assert lesson.errors() == []
    picture(check, "00-3-raised")

    lesson.write(answer, RIGHT)
    lesson.run(check)
    expect(panel).to_contain_text("✓ softmax")
    picture(check, "00-4-right")
    assert lesson.complaints == []
