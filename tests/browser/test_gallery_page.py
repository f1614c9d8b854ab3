"""The gallery as a page of its own, opened from the disk with the network cut off: alive, described, without barriers.

pytest tests/browser -k gallery_page        about fifteen seconds; ATTNLAB_SCREENSHOTS=folder keeps the picture
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.lab import cut_off

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

GALLERY = Path(__file__).parents[2] / "gallery/gallery.ipynb"
AXE = Path(__file__).parent / "axe/axe-4.14.1.min.js"
OURS = [[".attnlab-island"], [".attnlab-figure"], [".attnlab-explored"]]


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    exported = tmp_path_factory.mktemp("gallery") / "gallery.html"
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "html", "--log-level", "ERROR"]
    subprocess.run([*command, "--output", exported, GALLERY], check=True)
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    leaving = cut_off(context)
    page = context.new_page()
    page.goto(exported.as_uri())
    page.wait_for_function("document.querySelectorAll('.attnlab-island:not([data-alive])').length === 0")
    page.leaving = leaving
    yield page
    context.close()


def test_every_figure_is_alive(page, picture):
    islands = page.locator(".attnlab-island")
    assert islands.count() >= 10
    for stage in page.locator(".al-stage").all():
        ink = "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size"
        assert stage.locator("canvas").evaluate(ink) > 20
        assert len(stage.locator(".al-says").inner_text()) > 20
    picture(page, "gallery")


def test_every_figure_has_a_description(page):
    pictures = page.locator(".jp-OutputArea img")
    assert pictures.count() >= 11
    assert [picture for picture in pictures.all() if len(picture.get_attribute("alt") or "") < 60] == []


def test_axe_finds_no_barrier(page):
    page.locator(".jp-OutputArea details").evaluate_all("all => all.forEach(one => (one.open = true))")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("include => axe.run({include}, {resultTypes: ['violations', 'passes']})", OURS)
    assert len(found["passes"]) > 10, "it looked at something"
    assert [[rule["help"], *(node["html"][:200] for node in rule["nodes"])] for rule in found["violations"]] == []


def test_only_the_exported_page_itself_asks_for_anything(page):
    """nbconvert's own template wants MathJax and RequireJS; no figure wants anything."""
    assert [url for url in page.leaving if "mathjax" not in url.lower() and "require" not in url.lower()] == []
