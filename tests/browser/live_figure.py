"""One live figure on a page: where its cells are, what colours it shows, what it says, what takes the focus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from playwright.sync_api import Locator, Page

from tests.browser.gallery import SHOWN

NUMBER = r"(-?[\d.]+(?:e[+-]\d+)?|hidden|hides)"
# What stands before the weight of the chosen cell, in the sentences of all views.
WEIGHT = re.compile(
    rf'(?:(?:key|place|channel) "[^"]*": (?:first )?|(?:To|From) "[^"]*": |makes a weight of |the mask ){NUMBER}'
)
FOCUSABLE = "canvas, select, button, input, summary"


class LiveFigure:
    """The figure that the cell of a gallery shows."""

    def __init__(self, page: Page, name: str):
        self.page, self.name = page, name
        self.island = page.locator(".attnlab-island").nth(SHOWN.index(name))
        self.stage = self.island.locator(".al-stage")
        self.canvas = self.stage.locator("canvas")

    def ask(self, expression: str, given: Any = None) -> Any:
        """A JavaScript expression about `stage`; `given` is what comes from here."""
        return self.stage.evaluate(f"(root, given) => {{ const stage = root.stage; return {expression}; }}", given)

    @property
    def state(self) -> dict[str, Any]:
        return self.ask("stage.state")

    def put(self, **part: float) -> None:
        """Bring the figure into a known state."""
        self.ask("stage.change(given)", part)

    @property
    def sentence(self) -> str:
        return self.stage.locator(".al-says").inner_text()

    def said_weight(self) -> float | None:
        """The weight of the chosen cell as the sentence has it; None where it says that it is hidden."""
        found = WEIGHT.search(self.sentence)
        assert found, f"no weight of the chosen cell in {self.sentence!r}"
        return None if found[1].startswith("hid") else float(found[1].rstrip("."))

    # ------------------------------------------------------------------ places and colours

    def boxes(self, cells: Iterable[Mapping[str, int]]) -> np.ndarray:
        """x, y, width, height of each cell, (cells, 4), in CSS pixels of the canvas."""
        boxes = self.ask("given.map(cell => stage.where(cell))", [dict(cell) for cell in cells])
        return np.array([[box[side] for side in ("x", "y", "width", "height")] for box in boxes])

    def middles(self, cells: Iterable[Mapping[str, int]]) -> np.ndarray:
        """The middle of each cell, (cells, 2)."""
        boxes = self.boxes(cells)
        return boxes[:, :2] + boxes[:, 2:] / 2

    def pixels(self) -> tuple[np.ndarray, float]:
        """Everything that the canvas shows, (height, width, 4), and how many of its pixels make one CSS pixel."""
        url, scale = self.ask("[stage.canvas.toDataURL(), stage.canvas.width / stage.canvas.clientWidth]")
        return read_png(url), scale

    def colours(self, points: np.ndarray) -> np.ndarray:
        """Red, green, blue and opacity at points (n, 2) of the canvas."""
        shown, scale = self.pixels()
        columns, rows = np.floor(np.asarray(points) * scale).astype(int).T
        return shown[rows, columns]

    def colour_of(self, name: str) -> np.ndarray:
        """The colour that an ink of front/ink.js has in this figure: "text", "line", "positive" ..."""
        dark = self.text_is_light()
        return np.array([int(ink(dark)[name][i : i + 2], 16) for i in (1, 3, 5)])

    def text_is_light(self) -> bool:
        return sum(self.stage.evaluate("root => getComputedStyle(root).color.match(/\\d+/g).map(Number)")[:3]) > 384

    # ------------------------------------------------------------------ hands

    def point_at(self, cell: Mapping[str, int]) -> None:
        """The mouse comes from outside, and stops in the middle of the cell."""
        self.canvas.evaluate("canvas => canvas.scrollIntoView({block: 'center'})")
        [[x, y]] = self.middles([cell])
        box = self.canvas.bounding_box()
        self.page.mouse.move(box["x"] + x, box["y"] + y, steps=2)

    def focusable(self) -> list[Locator]:
        """Whatever a person can reach with the tabulator, in order."""
        return [element for element in self.island.locator(FOCUSABLE).all() if element.is_visible()]


def ink(dark: bool) -> dict[str, str]:
    """The table of inks that front/ink.js has for light or for dark pages."""
    from importlib import resources

    source = resources.files("attnlab.viz").joinpath("front/ink.js").read_text(encoding="utf-8")
    [table] = re.findall(rf"const {'DARK' if dark else 'LIGHT'} = {{(.*?)}};", source)
    return json.loads("{" + re.sub(r"(\w+):", r'"\1":', table) + "}")


def read_png(url: str) -> np.ndarray:
    """A data URI as an array (height, width, 4) of uint8."""
    import base64
    import io

    from matplotlib.image import imread

    shown = imread(io.BytesIO(base64.b64decode(url.split(",")[1])), format="png")
    return np.round(255 * shown).astype(np.uint8)


def contrast(first: Iterable[float], second: Iterable[float]) -> float:
    """The contrast of two colours as the accessibility guidelines (WCAG 2) define it, from 1 to 21."""

    def lightness(colour: Iterable[float]) -> float:
        share = np.asarray(list(colour)[:3], dtype=float) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted([lightness(first), lightness(second)])
    return (high + 0.05) / (low + 0.05)
