"""Every live view, wherever a notebook is read: run, reopened without a kernel, exported, dark, Notebook 7, untrusted.

The network is cut off throughout. One page for each of those places holds all views.

pytest tests/browser -k everywhere        about five minutes; ATTNLAB_SCREENSHOTS=folder keeps the pictures
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect

from attnlab.viz.views import coding
from tests.browser.gallery import SHOWN, records, write_gallery
from tests.browser.lab import NO_NEWS, NO_WINDOWING, SYSTEM_THEME, Notebook, cut_off, environment, served
from tests.browser.live_figure import LiveFigure, contrast, ink
from tests.browser.probes import PROBES

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

AXE = Path(__file__).parent / "axe/axe-4.14.1.min.js"
ENOUGH = 4.5  # contrast of text (WCAG 2, level AA)
PLACES = ["run", "without a kernel", "dark", "notebook 7", "exported"]
IN_JUPYTER = PLACES[:-1]
CUTTING = ["x", "d", "d", "a", "b", "m", "y"]  # what a command mode makes of letters: cut, delete, insert, change

every_view = pytest.mark.parametrize("view", SHOWN)


# ---------------------------------------------------------------------- the places


@dataclass
class Gallery:
    """All views on one page, and what went wrong there."""

    page: Page
    complaints: list[str]
    leaving: list[str]
    path: Path
    notebook: Notebook | None = None

    def figure(self, view: str) -> LiveFigure:
        return LiveFigure(self.page, view)


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    return records()


@pytest.fixture(scope="module")
def homes(tmp_path_factory) -> tuple[Path, Path, Path]:
    """A folder of notebooks, and homes for the two servers that show them."""
    folder, lab, notebook = (tmp_path_factory.mktemp(name) for name in ("notebooks", "lab", "notebook7"))
    for name in ("run", "run7"):
        write_gallery(folder / f"{name}.ipynb")
    executed = nbformat.read(write_gallery(folder / "exported.ipynb"), as_version=4)
    with contextlib.chdir(folder):
        nbclient.NotebookClient(executed, timeout=120).execute()
    nbformat.write(executed, folder / "exported.ipynb")
    # A notebook of a language that nobody here speaks: Jupyter asks which kernel to use, and gets none.
    executed.metadata = {"kernelspec": {"name": "none", "display_name": "none", "language": "none"}}
    nbformat.write(executed, folder / "trusted.ipynb")
    executed.metadata["title"] = "another notebook, so another signature"
    nbformat.write(executed, folder / "untrusted.ipynb")
    for name, app in {"trusted": ["trust"], "exported": ["nbconvert", "--to", "html", "--log-level", "ERROR"]}.items():
        command = [sys.executable, "-m", "jupyter", *app, str(folder / f"{name}.ipynb")]
        subprocess.run(command, env=environment(lab), check=True, capture_output=True)
    return folder, lab, notebook


@pytest.fixture(scope="module")
def lab(homes) -> Iterator[str]:
    folder, home, _ = homes
    with served(folder, home, settings=NO_WINDOWING | SYSTEM_THEME | NO_NEWS) as address:
        yield address


@pytest.fixture(scope="module")
def notebook7(homes) -> Iterator[str]:
    folder, _, home = homes
    with served(folder, home, app="notebook") as address:
        yield address


@contextlib.contextmanager
def opened_in(browser: Browser, address: str, path: Path, scheme: str = "light", **how: Any) -> Iterator[Gallery]:
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, color_scheme=scheme)
    leaving = cut_off(context)
    notebook = Notebook(context.new_page(), address, path.name, **how)
    if how.get("kernel", True):
        notebook.complaints.clear()  # nothing of ours was on the page yet
        notebook.run_all()
        assert notebook.errors() == []
    yield Gallery(notebook.page, notebook.complaints, leaving, path, notebook)
    context.close()


@contextlib.contextmanager
def opened_file(browser: Browser, path: Path, **how: Any) -> Iterator[Gallery]:
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 1000}} | how)
    leaving, complaints, page = cut_off(context), [], context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    yield Gallery(page, complaints, leaving, path)
    context.close()


@pytest.fixture(scope="module")
def opened(request, browser, homes) -> Iterator[Gallery]:
    """opened(place): the gallery there, alive."""
    folder, place = homes[0], request.param
    if place == "exported":
        at = opened_file(browser, folder / "exported.html")
    elif place == "notebook 7":
        at = opened_in(browser, request.getfixturevalue("notebook7"), folder / "run7.ipynb", place="notebooks")
    elif place == "run":
        at = opened_in(browser, request.getfixturevalue("lab"), folder / "run.ipynb")
    else:
        scheme = "dark" if place == "dark" else "light"
        at = opened_in(browser, request.getfixturevalue("lab"), folder / "trusted.ipynb", scheme, kernel=False)
    with at as gallery:
        expect(gallery.page.locator(".attnlab-island[data-alive] canvas")).to_have_count(len(SHOWN), timeout=30_000)
        yield gallery


everywhere = pytest.mark.parametrize("opened", PLACES, indirect=True)
in_jupyter = pytest.mark.parametrize("opened", IN_JUPYTER, indirect=True)


# ---------------------------------------------------------------------- what it shows


@everywhere
@every_view
def test_the_canvas_shows_the_weights(opened, view, known, picture, request):
    figure = opened.figure(view)
    place = request.node.callspec.params["opened"]
    assert figure.text_is_light() == (place == "dark")
    figure.island.scroll_into_view_if_needed()
    picture(figure.island, f"{view} {place}".replace(" ", "-"))
    PROBES[view](figure, known)


@everywhere
def test_other_layers_and_heads_show_their_own_weights(opened, known):
    figure = opened.figure("heatmap")
    for axis, place in (("layer", 1), ("head", 2)):
        figure.stage.locator("label", has_text=re.compile(f"^{axis} ")).locator("select").select_option(str(place))
        PROBES["heatmap"](figure, known)
    assert (figure.state["layer"], figure.state["head"]) == (1, 2)


# ---------------------------------------------------------------------- hands

TABLE = {"layer": 0, "head": 1, "query": 3, "key": 1}
POINTED = {
    "heatmap": [{"query": 3, "key": 1}, {"query": 5, "key": 4}, {"query": 1, "key": 5}],
    "links": [{"side": 0, "query": 4}, {"side": 1, "key": 2}],
    "neuron": [{"unit": 3}, {"unit": 6}],
    "overlay": [{"key": 0}, {"key": 7}],
    "space_time": [{"key": 7}, {"key": 10}],
    "gate": [{"key": 2}, {"key": 6}],
    "gate in space": [{"key": 5}, {"key": 11}],
}
POINTED["heads"] = POINTED["compare"] = POINTED["heatmap"]

# Where each view starts, which keys are pressed one after the other, and what each of them changes.
PRESSED = {
    "heatmap": (
        TABLE,
        [("ArrowRight", {"key": 2}), ("ArrowDown", {"query": 4}), ("ArrowLeft", {"key": 1}), ("ArrowUp", {"query": 3}),
         (".", {"head": 2}), (",", {"head": 1}), ("PageDown", {"layer": 1}), ("PageDown", {"layer": 1}),
         ("PageUp", {"layer": 0}), ("End", {"key": 5}), ("ArrowRight", {"key": 5}), ("Home", {"key": 0})],
    ),
    "links": (
        TABLE | {"side": 0},
        [("ArrowDown", {"query": 4}), ("ArrowRight", {"side": 1}), ("ArrowDown", {"key": 2}), (".", {"head": 2}),
         ("ArrowLeft", {"side": 0}), ("End", {"query": 5})],
    ),
    "neuron": (
        TABLE | {"unit": 2},
        [("ArrowRight", {"key": 2}), ("ArrowDown", {"query": 4}), ("d", {"unit": 3}), ("Shift+D", {"unit": 2}),
         (".", {"head": 2}), ("End", {"key": 5})],
    ),
    "overlay": (
        {"head": 0, "query": 3, "key": 6},
        [("ArrowRight", {"key": 7}), ("ArrowDown", {"key": 11}), ("ArrowUp", {"key": 7}), ("ArrowUp", {"key": 3}),
         ("ArrowUp", {"key": 0}), ("ArrowDown", {"key": 1}), ("Enter", {"query": 1}), (".", {"head": 1})],
    ),
    "space_time": (
        {"head": 0, "query": 3, "key": 7, "frame": 1},
        [("ArrowRight", {"key": 8}), ("ArrowDown", {"key": 11}), ("PageDown", {"frame": 2, "key": 17}),
         ("Enter", {"query": 17}), ("PageUp", {"frame": 1, "key": 11}), ("Space", {"playing": 1}),
         ("Space", {"playing": 0})],
    ),
    "gate": ({"query": 0, "key": 3}, [("ArrowRight", {"key": 4}), ("ArrowDown", {"query": 1}), ("Home", {"key": 0})]),
    "gate in space": ({"query": 0, "key": 5}, [("ArrowRight", {"key": 6}), ("ArrowDown", {"key": 10})]),
}  # fmt: skip
PRESSED["heads"] = PRESSED["compare"] = PRESSED["heatmap"]

OF = {"overlay": "patches", "space_time": "clip", "gate": "channels", "gate in space": "places"}


def assert_it_says_the_weight(figure: LiveFigure, record) -> None:
    """The live region names the chosen query and key, and their weight as closely as a byte keeps it."""
    state = figure.state
    if state.get("playing"):
        assert figure.sentence.startswith("Playing")
        return
    place = tuple(state[axis] for axis in ("layer", "head", "query", "key"))
    for name in (record.query_names[state["query"]], record.key_names[state["key"]]):
        assert f'"{name}"' in figure.sentence
    said, true = figure.said_weight(), record.weights[place]
    if not record.visible[place]:
        assert said is None
        return
    three_digits = 0.005 * true
    assert abs(said - true) <= coding.encode(record.weights).error + three_digits


@everywhere
@every_view
def test_the_mouse_chooses_what_it_points_at(opened, view, known):
    figure, record = opened.figure(view), known[OF.get(view, "words")]
    if view == "space_time":
        figure.put(frame=1)
    for cell in POINTED[view]:
        figure.point_at(cell)
        assert cell.items() <= figure.state.items()
        assert_it_says_the_weight(figure, record)


@everywhere
@every_view
def test_keys_move_the_cell_and_the_sentence_follows(opened, view, known):
    figure, record = opened.figure(view), known[OF.get(view, "words")]
    start, pressed = PRESSED[view]
    opened.page.mouse.move(0, 0)
    figure.put(**start)
    figure.canvas.focus()
    region = figure.stage.locator("[role=status]")
    expect(region).to_have_attribute("aria-live", "polite")
    wanted = dict(start)
    for key, change in pressed:
        opened.page.keyboard.press(key)
        wanted |= change
        assert wanted.items() <= figure.state.items(), key
        assert_it_says_the_weight(figure, record)
    opened.page.keyboard.press("Escape")
    assert not figure.canvas.evaluate("canvas => canvas === document.activeElement")


@everywhere
@every_view
def test_each_control_changes_the_figure_from_the_keyboard(opened, view):
    figure = opened.figure(view)
    figure.put(**PRESSED[view][0])
    for control in figure.stage.locator("select, input, button").all():
        before = figure.state
        control.focus()
        kind = control.evaluate("element => element.tagName")
        steps = {"BUTTON": ["Space", "Space"]}.get(kind, ["Home", "End"])
        changes = []
        for step in steps:
            opened.page.keyboard.press(step)
            changes.append(figure.state != before)
            before = figure.state
        assert any(changes), f"{control.inner_text() or control.evaluate('e => e.parentNode.textContent')} does nothing"
        control.evaluate("element => element.blur()")
    if view == "overlay" or view == "space_time":
        figure.put(opacity=1)


@everywhere
def test_views_of_one_record_move_together(opened):
    views = [view for view in ("heatmap", "heads", "links", "neuron") if view in SHOWN]
    others = [view for view in SHOWN if view not in views and view != "compare"]
    before = [opened.figure(view).state for view in others]
    opened.figure("heatmap").put(layer=0, head=2)
    opened.figure("heatmap").point_at({"query": 4, "key": 2})
    for view in views:
        assert {"layer": 0, "head": 2, "query": 4, "key": 2}.items() <= opened.figure(view).state.items(), view
        sentence = opened.figure(view).sentence
        assert '"on"' in sentence and '"</script>"' in sentence
    assert [opened.figure(view).state for view in others] == before, "figures of other records stay where they are"


@everywhere
def test_a_change_of_colours_moves_no_other_figure(opened):
    heatmap, heads = opened.figure("heatmap"), opened.figure("heads")
    heads.put(layer=0, head=0, query=2, key=1, root=0)
    heatmap.ask("Object.assign(stage.state, given)", {"query": 5, "key": 0, "root": 0})  # as if nobody had heard of it
    heatmap.stage.locator("label", has_text=re.compile("^colours ")).locator("select").select_option("1")
    assert heatmap.state["root"] == 1
    assert {"query": 2, "key": 1, "root": 0}.items() <= heads.state.items()
    heatmap.put(root=0)


# ---------------------------------------------------------------------- letters stay


def cells(page: Page) -> list[list[str]]:
    """The kind and the source of each cell of the notebook, in order."""
    return page.locator(".jp-Notebook .jp-Cell").evaluate_all(
        """cells => cells.map(cell => [
            ["jp-CodeCell", "jp-MarkdownCell", "jp-RawCell"].find(kind => cell.classList.contains(kind)),
            cell.querySelector(".cm-content").textContent])"""
    )


@in_jupyter
@every_view
def test_no_letter_reaches_the_notebook(opened, view):
    figure = opened.figure(view)
    before = cells(opened.page)
    assert len(before) == len(SHOWN) + 1
    figure.canvas.click(position={"x": 3, "y": 3})  # the notebook is in command mode now, and this cell is chosen
    expect(opened.page.locator(".jp-Notebook.jp-mod-commandMode")).to_have_count(1)
    reachable = figure.focusable()
    assert len(reachable) >= 2, "the canvas and the summary at least"
    for element in reachable:
        element.focus()
        assert element.evaluate("element => element === document.activeElement")
        for letter in CUTTING:
            opened.page.keyboard.press(letter)
        assert cells(opened.page) == before, element.evaluate("element => element.outerHTML.slice(0, 200)")
    figure.canvas.evaluate("() => document.activeElement.blur()")


# ---------------------------------------------------------------------- for everybody's eyes and ears

COLOURS = """islands => islands.flatMap(island => {
    const opaque = element => {
        for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (!/, 0\\)$|transparent/.test(colour)) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const numbers = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
    return [...island.querySelectorAll("*")]
        .filter(element => element.checkVisibility() && !["STYLE", "SCRIPT", "IMG"].includes(element.tagName))
        .map(element => [element.outerHTML.slice(0, 90), getComputedStyle(element).color, opaque(element)])
        .map(([html, text, paper]) => [html, numbers(text), numbers(paper)]);
})"""


@everywhere
def test_text_stands_out_from_its_background(opened):
    islands = opened.page.locator(".attnlab-island")
    islands.locator("details").evaluate_all("all => all.forEach(one => (one.open = true))")
    seen = islands.evaluate_all(COLOURS)
    assert len(seen) > 20 * len(SHOWN)
    faint = {html: ratio for html, text, paper in seen if (ratio := contrast(text, paper)) < ENOUGH}
    assert faint == {}
    figure = opened.figure("heatmap")
    [paper] = {tuple(paper) for html, _, paper in seen if html.startswith("<canvas")}
    for name, colour in ink(figure.text_is_light()).items():
        assert contrast([int(colour[i : i + 2], 16) for i in (1, 3, 5)], paper) >= ENOUGH, name
    islands.locator("details").evaluate_all("all => all.forEach(one => (one.open = false))")


@everywhere
def test_axe_finds_no_barrier(opened):
    page = opened.page
    page.locator(".attnlab-island details").evaluate_all("all => all.forEach(one => (one.open = true))")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({include: [['.attnlab-island']]}, {resultTypes: ['violations', 'passes']})")
    assert len(found["passes"]) > 10, "it looked at something"
    assert [[rule["help"], *(node["html"][:200] for node in rule["nodes"])] for rule in found["violations"]] == []
    page.locator(".attnlab-island details").evaluate_all("all => all.forEach(one => (one.open = false))")


@everywhere
@every_view
def test_a_figure_has_a_name_a_description_and_a_table(opened, view):
    figure = opened.figure(view)
    title = figure.stage.locator(".al-title").inner_text()
    assert title and figure.canvas.get_attribute("aria-label").startswith(title)
    alt = figure.island.locator("img").get_attribute("alt")
    assert len(alt) > 40
    expect(figure.island.locator("img")).to_be_hidden()
    figure.island.locator("summary").click()
    expect(figure.island.locator("details p")).to_have_text(alt)
    assert figure.island.locator("details td").count() >= 4
    figure.island.locator("summary").click()
    unnamed = [
        e for e in figure.stage.locator("select, input").all() if not e.evaluate("e => e.labels[0]?.textContent")
    ]
    assert unnamed == []
    small = [box for e in figure.focusable()[:-1] if (box := e.bounding_box())["height"] < 24 or box["width"] < 24]
    assert small == []


# ---------------------------------------------------------------------- last in each place


@pytest.mark.parametrize("opened", ["run"], indirect=True)
def test_the_same_notebook_gives_the_same_outputs_again(opened, homes):
    opened.notebook.menu("File", "Save Notebook")
    expect(opened.page.locator(".lm-TabBar-tab.jp-mod-current.jp-mod-dirty")).to_have_count(0)
    again, first = (nbformat.read(path, as_version=4).cells for path in (opened.path, homes[0] / "exported.ipynb"))
    shown = [[output.data for cell in cells for output in cell.outputs] for cells in (again, first)]
    assert len(shown[0]) == len(SHOWN)
    assert shown[0] == shown[1]


@everywhere
def test_nothing_left_the_machine_and_nothing_complained(opened, browser, homes, request):
    if request.node.callspec.params["opened"] != "exported":
        assert opened.leaving == []
        assert opened.complaints == []
        return
    # An exported page asks the web for what nbconvert writes into all of them; ours adds nothing to that.
    folder = homes[0]
    nbformat.write(nbformat.v4.new_notebook(), folder / "empty.ipynb")
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "html", str(folder / "empty.ipynb")]
    subprocess.run(command, check=True, capture_output=True)
    with opened_file(browser, folder / "empty.html") as empty:
        assert sorted(opened.leaving) == sorted(empty.leaving)
        assert sorted(opened.complaints) == sorted(empty.complaints)


@pytest.mark.parametrize("opened", ["run"], indirect=True)
def test_without_the_attribute_the_notebook_would_take_the_letter(opened):
    """What `test_no_letter_reaches_the_notebook` would see if it were not so."""
    figure = opened.figure(SHOWN[0])
    figure.canvas.click(position={"x": 3, "y": 3})
    summary = figure.island.locator("summary")
    summary.evaluate("summary => summary.removeAttribute('data-lm-suppress-shortcuts')")
    summary.focus()
    opened.page.keyboard.press("b")
    expect(opened.page.locator(".jp-Notebook .jp-Cell")).to_have_count(len(SHOWN) + 2)


# ---------------------------------------------------------------------- two more ways to look


def test_an_untrusted_notebook_shows_pictures_with_their_descriptions(browser, lab, homes, picture):
    with opened_in(browser, lab, homes[0] / "untrusted.ipynb", kernel=False) as gallery:
        images = gallery.page.locator(".attnlab-island img")
        expect(images).to_have_count(len(SHOWN))
        for view, image in zip(SHOWN, images.all(), strict=True):
            expect(image).to_be_visible()
            assert image.evaluate("image => image.naturalWidth") > 200
            assert len(image.get_attribute("alt")) > 40
            picture(image, f"{view} untrusted".replace(" ", "-"))
        assert gallery.page.locator(".attnlab-island :is(script, canvas), .attnlab-island[data-alive]").count() == 0
        assert gallery.page.evaluate("globalThis.attnlab === undefined"), "no script ran"
        assert (gallery.leaving, gallery.complaints) == ([], [])


FAINT = 40  # opacity of the last shade around a letter
TOO_WIDE = """root => [root, ...root.querySelectorAll("*")].filter(element =>
    element.getBoundingClientRect().right > root.getBoundingClientRect().right + 1
    || element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display == "block"
).map(element => element.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("width", [640, 320])  # 1280 pixels at 200 % and at 400 %
def test_enlarged_nothing_is_cut_off(browser, homes, known, picture, width):
    how = {"viewport": {"width": width, "height": 500}, "device_scale_factor": 1280 / width}
    with opened_file(browser, homes[0] / "exported.html", **how) as gallery:
        expect(gallery.page.locator(".attnlab-island[data-alive] canvas")).to_have_count(len(SHOWN))
        wide, cut = {}, {}
        for view in SHOWN:
            figure = gallery.figure(view)
            picture(figure.island, f"{view} at {width}".replace(" ", "-"))
            wide[view] = figure.stage.evaluate(TOO_WIDE)
            shown, scale = figure.pixels()
            assert scale == pytest.approx(1280 / width, rel=0.02), "as sharp as the screen"
            edges = {"top": shown[0], "bottom": shown[-1], "left": shown[:, 0], "right": shown[:, -1]}
            cut[view] = [side for side, edge in edges.items() if edge[:, 3].max() > FAINT]
            if width == 640:
                PROBES[view](figure, known)
        assert {view: parts for view, parts in wide.items() if parts} == {}, "wider than the page"
        assert {view: sides for view, sides in cut.items() if sides} == {}, "ink runs over the edge of the canvas"
