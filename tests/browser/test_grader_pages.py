"""The grader's pages in Chromium: nothing in them runs or asks for anything, and nobody is kept out.

pytest tests/browser -k grader_pages        about fifteen seconds; ATTNLAB_SCREENSHOTS=folder keeps the pictures
"""

from dataclasses import replace
from pathlib import Path

import pytest

from grader.pages.feedback import feedback_page
from grader.pages.report import report_page
from grader.pages.similar import compare
from grader.pages.similar_page import similar_page
from grader.referee.result import Verdict
from tests.browser.lab import cut_off
from tests.grader.test_feedback import HOSTILE, filled, in_turn
from tests.grader.test_report import made_up_class
from tests.grader.test_similar import EXERCISE, OWN_WORDS, SOLUTIONS, STUBS, commented, laid_out, renamed, variants

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

AXE = Path(__file__).parent / "axe/axe-4.14.1.min.js"
TITLE = "05 Self-attention"


def full_of(texts) -> dict[str, str]:
    """Every page with these texts in every field."""
    result = filled(in_turn(texts))
    sources = {f"{text}{place}": {EXERCISE: commented(text)} for place, text in enumerate(texts[:4])}
    return {
        "feedback": feedback_page(result, texts[-1]),
        "report": report_page([result, replace(result, student=texts[0])], {result.lesson: texts[-1]}),
        "similar": similar_page(compare(sources, STUBS, SOLUTIONS), sources, STUBS, SOLUTIONS),
    }


def hostile() -> dict[str, str]:
    return full_of(HOSTILE)


def long_words() -> dict[str, str]:
    return full_of([f"{letter * 200}" for letter in "WMwm"])


def real() -> dict[str, str]:
    """Every page of a class as it might be."""
    those = made_up_class(30, seed=1)
    mixed = next(r for r in those if {e.verdict for e in r.exercises} >= {Verdict.PASSED, Verdict.PARTLY})
    sources = {student: {EXERCISE: text} for student, text in variants(EXERCISE).items()}
    sources |= {"ada": {EXERCISE: OWN_WORDS}, "bob": {EXERCISE: laid_out(renamed(OWN_WORDS))}}
    return {
        "feedback": feedback_page(mixed, TITLE),
        "report": report_page(those, {"05_self_attention": TITLE}),
        "similar": similar_page(compare(sources, STUBS, SOLUTIONS), sources, STUBS, SOLUTIONS),
    }


@pytest.fixture
def open_page(browser, tmp_path):
    """open_page(html, width, scheme) -> a page with what it asked for (.leaving) and complained of (.complaints)."""
    contexts = []

    def open_page(html: str, width: int = 1000, scheme: str = "light"):
        path = tmp_path / f"{len(contexts)}.html"
        path.write_text(html, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        leaving, asked, complaints = cut_off(context), [], []
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.goto(path.as_uri())
        page.leaving, page.complaints = leaving + asked[1:], complaints
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", ["feedback", "report", "similar"])
def test_hostile_text_does_nothing_in_a_browser(open_page, name):
    page = open_page(hostile()[name])
    assert (
        page.evaluate("[...document.querySelectorAll('script, iframe, img, base, link, form, object, embed')].length")
        == 0
    )
    attributes = "[...new Set([...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()))]"
    assert [found for found in page.evaluate(attributes) if found.startswith("on") or found in ("src", "style")] == []
    hrefs = page.evaluate("[...document.querySelectorAll('[href]')].map(link => link.getAttribute('href'))")
    assert [href for href in hrefs if not href.startswith("#")] == []
    page.mouse.move(400, 400)
    page.locator("body").click(position={"x": 5, "y": 5})
    page.wait_for_timeout(200)
    assert "owned" not in page.title().split("<")[0]
    assert (page.leaving, page.complaints) == ([], [])


def test_the_policy_stops_what_escaping_would_have_missed(open_page):
    """The second wall: with markup put in by hand nothing is loaded or run either, and our own style still holds."""
    html = feedback_page(made_up_class(1)[0], TITLE).replace(
        "</main>",
        "<script>document.title = 'owned'</script><img src=x.png onerror=\"document.title = 'owned'\"></main>",
    )
    page = open_page(html)
    page.wait_for_timeout(200)
    assert page.title() != "owned"
    assert any("Content Security Policy" in complaint for complaint in page.complaints)
    assert page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") == "832px"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["feedback", "report", "similar"])
def test_axe_finds_no_barrier(open_page, picture, name, scheme):
    page = open_page(real()[name], scheme=scheme)
    page.set_viewport_size({"width": 1000, "height": page.evaluate("document.documentElement.scrollHeight")})
    picture(page, f"{name}-{scheme}")
    page.locator("details").evaluate_all("all => all.forEach(one => (one.open = true))")
    found = _axe(page)
    assert len(found["passes"]) > 10, "it looked at something"
    assert [[rule["help"], *(node["html"][:200] for node in rule["nodes"])] for rule in found["violations"]] == []
    assert page.complaints == []


def _axe(page) -> dict:
    """axe, run from outside the page's policy, which lets no script in."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    return page.evaluate("axe.run(document, {resultTypes: ['violations', 'passes']})")


@pytest.mark.parametrize("name", ["feedback", "report", "similar"])
def test_a_narrow_screen_scrolls_down_only(open_page, picture, name):
    for made, html in {"real": real()[name], "hostile": hostile()[name], "long": long_words()[name]}.items():
        page = open_page(html, width=320)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, made
        page.locator("details").evaluate_all("all => all.forEach(one => (one.open = true))")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, made
        tall = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": 320, "height": min(tall, 9000)})
        picture(page, f"{name}-320-{made}")
        unreachable = "[...document.querySelectorAll('.scroll, pre')].filter(region => region.tabIndex !== 0).length"
        assert page.evaluate(unreachable) == 0, "a region that scrolls is reached by keyboard"


def test_links_lead_to_sections_that_are_there(open_page):
    for html in real().values():
        page = open_page(html)
        missing = (
            "[...document.querySelectorAll('a[href]')].filter(a => !document.querySelector(a.getAttribute('href')))"
        )
        assert page.evaluate(f"{missing}.length") == 0
        assert (
            page.evaluate("new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size")
            == page.locator("[id]").count()
        )


def test_a_printed_page_has_all_of_the_code(open_page):
    page = open_page(real()["feedback"])
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('pre')).whiteSpace").startswith("pre-wrap")
