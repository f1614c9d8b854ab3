"""attnlab's live figures beside BertViz's, on this machine, in one run: size, time to make, to appear, to answer.

python tools/bench_views.py [--tokens 64 128 256 512] [--json FILE]
    12 heads of so many tokens, as a saved page opened from the disk, with the network cut off.
python tools/bench_views.py --lab
    12 heads x 512 x 512 in JupyterLab: from Shift-Enter to the painted figure, the first one of the page.

BertViz 1.4.1 loads its two scripts from the web, so offline it draws nothing. To be measured at all it gets them from
the page that `record.bertviz()` makes, which also holds its numbers once and with four digits. That is to its
advantage: what it sends by itself (the column "payload") is larger and takes longer to read.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Error, Page, TimeoutError, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from attnlab.viz import views  # noqa: E402
from attnlab.viz.bertviz.drawing import _html, drawing  # noqa: E402
from attnlab.viz.bertviz.frame import page as sealed_page  # noqa: E402
from attnlab.viz.record import AttentionRecord  # noqa: E402
from attnlab.viz.views.view import PAGE  # noqa: E402
from tests.browser.lab import CHROMIUM, FLAGS, NO_NEWS, NO_WINDOWING, Notebook, cut_off, served  # noqa: E402

HEADS = 12
MOST_LINKS = 256  # tokens; beyond it `links` says that lines can no longer be told apart
PATIENCE_S = 240
OFTEN = 20
# BertViz's head view is our links, its model view our heads.
PAIRS = {"BertViz head view": "attnlab links", "BertViz model view": "attnlab heads"}

# Runs in every page before anything else. A picture is there when a canvas of ours has ink, or when BertViz's drawing
# has a line; it counts two frames later, when it has been painted.
WATCH = """
globalThis.hovers = [];
const twoFrames = (then) => requestAnimationFrame(() => requestAnimationFrame(then));
const drawn = () => {
    const canvas = document.querySelector(".al-stage canvas");
    if (!canvas) return document.querySelector("svg line") !== null;
    if (!canvas.width || !canvas.height) return false;
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value) => value > 0);
};
const done = () => (globalThis.firstPicture = performance.now());
const look = () => (drawn() ? twoFrames(done) : requestAnimationFrame(look));
requestAnimationFrame(look);
addEventListener("mousemove", (event) => twoFrames(() => hovers.push(performance.now() - event.timeStamp)), true);
"""

# Milliseconds to paint the figure anew from its weights, and to move its cursor. Reading a pixel waits for the paint.
OURS = """(times) => {
    const stage = document.querySelector(".al-stage").stage;
    const context = stage.canvas.getContext("2d");
    const [, heads, queries, keys] = stage.spec.shape;
    const measured = (change) => Array.from({ length: times }, (_, i) => {
        const start = performance.now();
        change(i);
        context.getImageData(0, 0, 1, 1);
        return performance.now() - start;
    });
    return {
        draw: measured(() => { stage.data.cache.clear(); stage.draw(); }),
        head: measured((i) => stage.change({ head: (i + 1) % heads })),
        cursor: measured((i) => stage.change({ query: (7 * i + 1) % queries, key: (11 * i + 1) % keys })),
    };
}"""

# Where the mouse goes: the last cells of the table, or the last names, one after the other.
PLACES = """(times) => {
    const { stage } = document.querySelector(".al-stage");
    stage.canvas.scrollIntoView({ block: "end" });
    const box = stage.canvas.getBoundingClientRect();
    const [, , queries, keys] = stage.spec.shape;
    return Array.from({ length: times }, (_, i) => {
        const cell = stage.where({ side: 0, query: queries - 1 - i, key: keys - 1 - i });
        return [box.x + cell.x + cell.width / 2, box.y + cell.y + cell.height / 2];
    });
}"""
# In JupyterLab: the moment of Shift-Enter, and of the frame in which one more figure than before has ink.
RAN = 'addEventListener("keydown", (event) => (globalThis.ran ??= event.timeStamp), true);'
WAIT = """() => {
    globalThis.ran = globalThis.firstPicture = undefined;
    const canvases = () => [...document.querySelectorAll(".al-stage canvas")];
    const inked = (canvas) => canvas.width && canvas.height && canvas.getContext("2d")
        .getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0);
    const before = canvases().length;
    const wait = () => {
        const all = canvases();
        if (all.length === before || !all.every(inked)) return requestAnimationFrame(wait);
        requestAnimationFrame(() => requestAnimationFrame(() => (globalThis.firstPicture = performance.now())));
    };
    wait();
}"""


def record_of(tokens: int) -> AttentionRecord:
    """One layer of 12 heads of random attention, neither sharp nor flat."""
    scores = 2 * np.random.default_rng(0).normal(size=(1, HEADS, tokens, tokens))
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    names = [f"token{i}" for i in range(tokens)]
    return AttentionRecord(weights / weights.sum(-1, keepdims=True), query_labels=names)


def timed(make: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    made = make()
    return made, time.perf_counter() - start


def bertviz_page(record: AttentionRecord, view: str) -> str:
    with redirect_stdout(StringIO()):
        return sealed_page(drawing(record, view))


def figures(tokens: int) -> Iterator[tuple[str, Callable[[], str], Callable[[AttentionRecord], str] | None]]:
    """(name, what makes the output that a notebook would hold, what makes the page to open instead, if another)."""
    record = record_of(tokens)
    yield "attnlab heads", lambda: views.heads(record).html(), None
    if tokens <= MOST_LINKS:
        yield "attnlab links", lambda: views.links(record).html(), None
    for view in ("head", "model"):
        yield (
            f"BertViz {view} view",
            lambda view=view: _html(record, view),
            lambda view=view: bertviz_page(record, view),
        )


def measured(tokens: int, folder: Path, report: Callable[[str], None]) -> list[dict[str, Any]]:
    rows = []
    for name, make, page in figures(tokens):
        output, python = timed(make)
        if python < 5:
            python = statistics.median([python, *(timed(make)[1] for _ in range(2))])
        row = {"view": name, "tokens": tokens, "python_s": python, "payload": len(output.encode())}
        file = folder / f"{name} {tokens}.html".replace(" ", "-")
        file.write_text(page() if page else PAGE.format(title=name, body=output), encoding="utf-8")
        del output
        hover = page is None or (name == "BertViz head view" and tokens <= 128)
        rows.append(row | in_browser(file, page is None, hover))
        file.unlink()
        report(f"{name}, {tokens} tokens: {rows[-1]}")
    return rows


def in_browser(file: Path, ours: bool, hover: bool) -> dict[str, Any]:
    """Times of one page; the first picture as the median of up to three, each in a browser of its own."""
    times: list[float] = []
    while not times or (len(times) < 3 and sum(times) < 20):
        with opened(file) as page:
            try:
                page.wait_for_function("globalThis.firstPicture", timeout=1000 * PATIENCE_S)
                times.append(page.evaluate("firstPicture") / 1000)
                if len(times) == 1:
                    more = {"elements": page.locator("*").count()}
                    if ours:
                        more |= {f"{name}_ms": statistics.median(of) for name, of in page.evaluate(OURS, OFTEN).items()}
                    if hover:
                        more["hover_ms"] = hover_ms(page, ours)
            except TimeoutError:
                return {"first_picture_s": None, "why": f"not painted after {PATIENCE_S} s"}
            except Error as error:
                if "crash" not in str(error).lower():
                    raise
                return {"first_picture_s": None, "why": "page crashed"}
    return {"first_picture_s": statistics.median(times), "runs": len(times)} | more


def hover_ms(page: Page, ours: bool) -> float:
    """From the movement of the mouse to the second frame after it, the median of up to 20 places."""
    if ours:
        places = page.evaluate(PLACES, OFTEN)
    else:
        boxes = [word.bounding_box() for word in page.locator("#left text").all()[:OFTEN]]
        places = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes]
    page.evaluate("hovers.length = 0")
    started = time.monotonic()
    for count, (x, y) in enumerate(places):
        page.mouse.move(x, y)
        page.wait_for_function(f"hovers.length > {count}", timeout=1000 * PATIENCE_S)
        if time.monotonic() - started > 30:
            break
    return statistics.median(page.evaluate("hovers"))


@contextmanager
def opened(file: Path) -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_page(
            viewport={"width": 1100, "height": 800}, bypass_csp=True
        )  # of the sealed page, to look in
        page.set_default_timeout(1000 * PATIENCE_S)
        page.add_init_script(WATCH)
        page.goto(file.as_uri(), wait_until="commit")
        yield page


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=FLAGS)
        yield browser
        browser.close()


# ---------------------------------------------------------------------- in JupyterLab

SETUP = """import numpy as np
from attnlab.viz import views
from attnlab.viz.record import AttentionRecord
scores = 2 * np.random.default_rng(0).normal(size=(1, 12, 512, 512))
weights = np.exp(scores)
record = AttentionRecord(weights / weights.sum(-1, keepdims=True))"""


MATPLOTLIB = "\nimport matplotlib.pyplot"  # which the picture inside a figure needs, and most notebooks have long had


def in_lab(times: int = 2) -> list[dict[str, float]]:
    """Seconds from Shift-Enter to the painted figure, each pair of runs in a kernel, a page and a server of its own."""
    import nbformat

    found = []
    for setup_source in [SETUP, SETUP + MATPLOTLIB] * times:
        with tempfile.TemporaryDirectory() as folder, chromium() as browser:
            home, notebooks = Path(folder, "home"), Path(folder, "notebooks")
            home.mkdir()
            notebooks.mkdir()
            sources = [setup_source, "views.heads(record)", "views.heads(record)"]
            cells = [nbformat.v4.new_code_cell(source) for source in sources]
            known = {"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}
            nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=known), notebooks / "bench.ipynb")
            with served(notebooks, home, settings=NO_WINDOWING | NO_NEWS) as address:
                context = browser.new_context(viewport={"width": 1280, "height": 1000})
                leaving = cut_off(context)
                page = context.new_page()
                page.add_init_script(RAN)
                notebook = Notebook(page, address, "bench.ipynb")
                setup, first, second = (page.locator(".jp-CodeCell").nth(i) for i in range(3))
                _prepare(page, setup)
                name = "first figure" + (", matplotlib imported before" if setup_source != SETUP else "")
                row = {name: _run(page, first), "second figure": _run(page, second)}
                assert leaving == [] and notebook.errors() == []
                found.append(row)
                context.close()
    return found


def _prepare(page: Page, cell: Any) -> None:
    """Run a cell in a page that has just come up, whose keys may not be alive yet."""
    prompt = cell.locator(".jp-InputArea-prompt")
    while prompt.inner_text().strip() == "[ ]:":
        cell.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        page.wait_for_timeout(2000)
    while prompt.inner_text().strip() == "[*]:":
        page.wait_for_timeout(200)


def _run(page: Page, cell: Any) -> float:
    cell.locator(".cm-content").click()
    page.evaluate(WAIT)
    page.keyboard.press("Shift+Enter")
    page.wait_for_function("globalThis.firstPicture")
    return page.evaluate("firstPicture - ran") / 1000


# ---------------------------------------------------------------------- what is printed


def size(count: float) -> str:
    return f"{count / 1e6:.3g} MB" if count >= 1e6 else f"{count / 1e3:.3g} kB"


def milliseconds(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:.3g}" if row.get(name) is not None else "-"


def markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| view, 12 heads | tokens | payload | Python, s | first picture, s | paint anew, ms | other head, ms "
        "| move cursor, ms | mouse to 2nd frame, ms | elements |",
        "| --- " * 10 + "|",
    ]
    for row in rows:
        first = row["first_picture_s"]
        told = [row["view"], row["tokens"], size(row["payload"]), f"{row['python_s']:.2f}"]
        told += [row["why"] if first is None else f"{first:.2f}"]
        told += [milliseconds(row, name) for name in ("draw_ms", "head_ms", "cursor_ms", "hover_ms")]
        lines.append("| " + " | ".join(map(str, [*told, f"{row.get('elements', 0):,}"])) + " |")
    lines += ["", "| BertViz / attnlab | tokens | payload | Python | first picture | mouse |", "| --- " * 6 + "|"]
    by = {(row["view"], row["tokens"]): row for row in rows}
    for row in rows:
        name, tokens = row["view"], row["tokens"]
        if name not in PAIRS:
            continue
        ours = by.get((PAIRS[name], tokens)) or by[("attnlab heads", tokens)]
        ratios = [ratio(row, ours, of) for of in ("payload", "python_s", "first_picture_s", "hover_ms")]
        lines.append(f"| {name} / {ours['view']} | {tokens} | " + " | ".join(ratios) + " |")
    return "\n".join(lines)


def ratio(theirs: dict[str, Any], ours: dict[str, Any], name: str) -> str:
    if name == "first_picture_s" and theirs[name] is None:
        return f"over {PATIENCE_S / ours[name]:.0f}" if "after" in theirs["why"] else theirs["why"]
    if theirs.get(name) is None or not ours.get(name):
        return "-"
    return f"{theirs[name] / ours[name]:.3g}"


def machine() -> str:
    packages = ("bertviz", "playwright", "jupyterlab", "numpy", "matplotlib")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    with chromium() as browser:
        python = platform.python_version()
        return f"{os.cpu_count()} cores, no GPU used; Chromium {browser.version}, Python {python}, {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--json", type=Path, help="also write the numbers there")
    parser.add_argument("--lab", action="store_true", help="measure in JupyterLab instead")
    asked = parser.parse_args()
    if asked.lab:
        rows = in_lab()
        print(f"{machine()}\n\n12 heads x 512 x 512 in JupyterLab, from Shift-Enter to painted, seconds:")
        for name in dict.fromkeys(name for row in rows for name in row):
            print(f"  {name}: " + ", ".join(f"{row[name]:.2f}" for row in rows if name in row))
    else:
        for warm_up in ("attnlab heads", "BertViz head view"):  # what both import is not the figure's
            next(make for name, make, _ in figures(4) if name == warm_up)()
        rows = []
        with tempfile.TemporaryDirectory() as folder:
            for tokens in asked.tokens:
                rows += measured(tokens, Path(folder), lambda line: print(line, file=sys.stderr, flush=True))
        print(f"{machine()}\n\n{markdown(rows)}")
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
