"""A view in Python's hands: sliders, choices and text reach it while its kernel lives, and a line says so after.

pytest tests/browser/test_explore.py        about half a minute; ATTNLAB_SCREENSHOTS=folder keeps the pictures
"""

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.lab import Notebook, served

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

SOURCE = """
import numpy as np
from attnlab.viz import AttentionRecord, explore, heatmap

def draw(sentence, temperature, hide):
    words = sentence.split()
    table = np.full((2, len(words), len(words)), 1.0) + 3 * np.eye(len(words))
    record = AttentionRecord(table / table.sum(-1, keepdims=True), query_labels=words).at_temperature(temperature)
    if hide == "what comes later":
        record = record.masked(np.tril(np.ones(record.shape[2:], bool)))
    return heatmap(record, query=1, title=f"Temperature {temperature:.2g}")

explore(draw, sentence="the cat sat", temperature=(0.1, 10.0, 1.0), hide=["nothing", "what comes later"])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explore")
    cell = nbformat.v4.new_code_cell(SOURCE.strip(), id="explore")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), folder / "explore.ipynb")
    return folder


def test_controls_reach_python_and_the_saved_notebook_says_that_they_sleep(browser, folder, tmp_path, picture):
    with served(folder, tmp_path / "home") as address:
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        notebook = Notebook(page, address, "explore.ipynb")
        notebook.run_all()
        cell = notebook.cell("explore(draw")
        stage = cell.locator(".al-stage:visible")
        expect(stage).to_have_count(1)  # the island stands aside
        expect(stage.locator(".al-title")).to_have_text("Temperature 1")
        expect(cell.locator(".attnlab-asleep")).to_be_hidden()

        head = stage.get_by_role("combobox", name="head")
        head.select_option("1")
        slider = cell.locator(".noUi-handle")
        slider.focus()
        for _ in range(5):
            page.keyboard.press("ArrowLeft")
        expect(stage.locator(".al-title")).not_to_have_text("Temperature 1")
        expect(head).to_have_value("1")  # what was chosen in the figure stays

        sentence = cell.locator(".widget-text input")
        sentence.fill("a dog ran home")
        sentence.press("Enter")
        expect(stage.locator(".al-says")).to_contain_text('query "dog"')
        cell.locator(".widget-dropdown select").select_option("what comes later")
        picture(cell, "explore-1-live")

        sentence.fill("")
        sentence.press("Enter")
        expect(cell).to_contain_text("ValueError: Expected at least one of each axis")
        expect(stage.locator(".al-says")).to_contain_text('query "dog"')  # the last figure stays
        sentence.fill("all is well again")
        sentence.press("Enter")
        expect(cell).not_to_contain_text("ValueError")
        notebook.menu("File", "Save Notebook")
        expect(page.locator(".jp-mod-dirty")).to_have_count(0)
        assert notebook.complaints == []
        page.close()

    with served(folder, tmp_path / "home") as address:  # a new server: the kernel is gone, the trust is not
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        notebook = Notebook(page, address, "explore.ipynb")
        cell = notebook.cell("explore(draw")
        stage = cell.locator(".al-stage:visible")
        expect(stage).to_have_count(1)  # the island again, and alive
        stage.locator("canvas").focus()
        page.keyboard.press("ArrowDown")
        expect(stage.locator(".al-says")).to_contain_text('query "sat"')
        expect(cell.locator(".attnlab-asleep")).to_be_visible()
        expect(cell.get_by_text("model not found")).to_be_hidden()
        picture(cell, "explore-2-reloaded")
        page.close()
