"""Lesson 03 as a student has it: run untouched, answer wrongly, read the diagnosis, answer rightly, look at the maps.

pytest tests/browser -k lesson_03        about two minutes; ATTNLAB_SCREENSHOTS=folder keeps the pictures
"""

import re

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

WRONG = """def channel_attention(features, reduce, expand):
    def mlp(summary):
        return (summary @ reduce.mT).relu() @ expand.mT

    average, largest = features.mean(dim=(2, 3)), features.amax(dim=(2, 3))
    gate = mlp(average).sigmoid() + mlp(largest).sigmoid()
    return gate[:, :, None, None]
"""
RIGHT = WRONG.replace("mlp(average).sigmoid() + mlp(largest).sigmoid()", "(mlp(average) + mlp(largest)).sigmoid()")


def test_run_all_then_a_wrong_answer_then_the_right_one(open_lesson, picture):
    lesson = open_lesson("03_cbam")
    lesson.run_all()
    assert lesson.errors() == []
    figures = lesson.page.locator("figure.attnlab-figure img")
    assert figures.count() >= 5
    assert all(len(figure.get_attribute("alt")) > 40 for figure in figures.all())
    check = lesson.cell("check.channel_attention(channel_attention)")
    expect(check.locator(".attnlab-report")).to_contain_text("not attempted yet")

    answer = lesson.cell("def channel_attention(features, reduce, expand)")
    lesson.write(answer, WRONG)
    lesson.run(check)
    panel = check.locator(".attnlab-report")
    expect(panel).to_contain_text("each summary gets a sigmoid of its own")
    expect(panel).to_contain_text("Next: add the two scores first")
    picture(check, "03-1-wrong")

    lesson.write(answer, RIGHT)
    lesson.run(check)
    expect(panel).to_contain_text("all 11 points")
    picture(check, "03-2-right")
    assert lesson.complaints == []


def test_maps_and_their_controls_answer_to_keyboard_and_mouse(open_lesson, picture):
    lesson = open_lesson("03_cbam")
    lesson.run_all()
    window = lesson.cell("explore(window_by_hand")
    title = window.locator(".al-stage:visible .al-title")
    expect(title).to_contain_text("7 by 7")
    window.locator(".widget-dropdown select").nth(1).select_option("21 by 21")
    expect(title).to_contain_text("21 by 21")
    picture(window, "03-3-window")

    channels = lesson.cell("gate(record, [photo.pixels for photo")
    channels.locator("canvas").focus()
    lesson.page.keyboard.press("ArrowRight")
    expect(channels.locator(".al-says")).to_contain_text("channel")
    picture(channels, "03-4-channels")

    places = lesson.cell("overlay(record, [photo.pixels[8:-8, 8:-8]")
    places.locator("canvas").focus()
    said = places.locator(".al-says").inner_text()
    lesson.page.keyboard.press("ArrowDown")
    expect(places.locator(".al-says")).not_to_have_text(said)
    picture(places, "03-5-places")

    again = lesson.cell("explore(look_again")
    again.locator(".widget-dropdown select").nth(1).select_option("edges")
    expect(again.locator("figure.attnlab-figure img")).to_have_attribute("alt", re.compile("the map edges"))
    picture(again, "03-6-controls")

    quiz = lesson.cell("check.quiz()")
    quiz.get_by_role("button", name="b", exact=True).nth(1).click()
    expect(quiz).to_contain_text("b: right. One MLP, twice; one sigmoid, once.")
    picture(quiz, "03-7-quiz")
    assert lesson.complaints == []
