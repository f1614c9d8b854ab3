"""One Chromium for all browser tests; they are skipped, with the reason, where there is none."""

import os
import shutil
from pathlib import Path

import pytest

from tests.browser.lab import CHROMIUM, FLAGS, Notebook, served

LESSONS = Path(__file__).parents[2] / "lessons"


def pytest_collection_modifyitems(items):
    if CHROMIUM.exists():
        return
    why = f"no {CHROMIUM}: install Debian's package chromium; `make test` does so where apt and root are at hand"
    for item in items:
        if "browser" in item.keywords:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A server over a fresh copy of the released lessons."""
    home = tmp_path_factory.mktemp("home")
    folder = tmp_path_factory.mktemp("student")
    shutil.copytree(LESSONS, folder / "lessons")
    with served(folder / "lessons", home) as address:
        yield address


@pytest.fixture
def open_lesson(browser, address):
    """open_lesson(slug) -> Notebook, in a window of its own."""
    pages = []

    def open_lesson(slug: str) -> Notebook:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        pages.append(page)
        return Notebook(page, address, f"{slug}/{slug}.ipynb")

    yield open_lesson
    for page in pages:
        page.close()


@pytest.fixture
def picture(tmp_path):
    """picture(locator_or_page, name): keep a screenshot, in ATTNLAB_SCREENSHOTS if that is set."""
    folder = Path(os.environ.get("ATTNLAB_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def picture(shown, name: str) -> Path:
        target = folder / f"{name}.png"
        shown.screenshot(path=target)
        assert target.stat().st_size > 2_000, f"{target} is empty"
        return target

    return picture
