"""Lesson 04 as a student has it: run untouched, answer wrongly, read the diagnosis, answer rightly, move its figures.

pytest tests/browser -k lesson_04        about four minutes; ATTNLAB_SCREENSHOTS=folder keeps the pictures
"""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

WRONG = """def separable_attention(features, space, time):
    both = features * space[..., None, :, :, None] * time[..., :, None, None, None]
    moments = torch.cat([both, both], dim=-1).mean(dim=(-3, -2))
    return (moments[..., :-1, :] + moments[..., 1:, :]) / 2
"""
RIGHT = """def separable_attention(features, space, time):
    in_space = features * space[..., None, :, :, None]
    in_time = features * time[..., :, None, None, None]
    moments = torch.cat([in_space, in_time], dim=-1).mean(dim=(-3, -2))
    return (moments[..., :-1, :] + moments[..., 1:, :]) / 2
"""


def test_run_all_then_a_wrong_answer_then_the_right_one(open_lesson, picture):
    lesson = open_lesson("04_spatial_temporal")
    lesson.run_all()
    assert lesson.errors() == []
    figures = lesson.page.locator("figure.attnlab-figure img")
    assert figures.count() >= 4
    assert all(len(figure.get_attribute("alt")) > 40 for figure in figures.all())
    check = lesson.cell("check.separable_attention(separable_attention)")
    expect(check.locator(".attnlab-report")).to_contain_text("not attempted yet")
    picture(check, "04-1-untouched")

    answer = lesson.cell("def separable_attention(features, space, time)")
    lesson.write(answer, WRONG)
    lesson.run(check)
    panel = check.locator(".attnlab-report")
    expect(panel).to_contain_text("weighed by places and by moments at once, in both halves")
    expect(panel).to_contain_text("Next: multiply features by the one for the first half")
    picture(check, "04-2-wrong")

    lesson.write(answer, RIGHT)
    lesson.run(check)
    expect(panel).to_contain_text("all 11 points")
    picture(check, "04-3-right")
    assert lesson.complaints == []


def test_both_figures_answer_from_the_keyboard(open_lesson, picture):
    lesson = open_lesson("04_spatial_temporal")
    lesson.run_all()
    clip = lesson.cell("explore(weights_of_clip")
    title = clip.locator(".al-stage:visible .al-title")
    expect(title).to_contain_text("trained, the model looks at moment")
    before = title.inner_text()
    clip.locator(".noUi-handle").focus()
    lesson.page.keyboard.press("ArrowRight")
    expect(title).not_to_have_text(before)
    picture(clip, "04-4-another-clip")
    clip.locator(".widget-dropdown select").select_option("untrained")
    expect(title).to_contain_text("untrained, the model looks at moment")
    picture(clip, "04-5-untrained")
    clip.locator(".al-stage:visible canvas").focus()
    says = clip.locator(".al-stage:visible .al-says")
    told = says.inner_text()
    lesson.page.keyboard.press("PageDown")
    expect(says).not_to_have_text(told)

    table = lesson.cell("explore(joints_of_actions")
    title = table.locator(".al-stage:visible .al-title")
    expect(title).to_contain_text("By shares, seed 0")
    picture(table, "04-6-shares")
    table.locator(".widget-dropdown select").nth(1).select_option("1")
    expect(title).to_contain_text("By shares, seed 1")
    picture(table, "04-7-another-seed")
    table.locator(".widget-dropdown select").nth(0).select_option("gates")
    expect(title).to_contain_text("By gates, seed 1")
    picture(table, "04-8-gates")

    quiz = lesson.cell("check.quiz()")
    quiz.get_by_role("button", name="b", exact=True).nth(0).click()
    expect(quiz).to_contain_text("b: right. The pose knows where and when")
    picture(quiz, "04-9-quiz")
    assert lesson.complaints == []
