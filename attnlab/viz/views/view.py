"""One view of a record: alive where scripts run, a picture where not, words and numbers for whoever sees neither."""

from __future__ import annotations

import functools
import html
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attnlab.viz.figure import Figure, closed_png
from attnlab.viz.record import AttentionRecord
from attnlab.viz.validation import AXES
from attnlab.viz.views import coding
from attnlab.viz.views.island import island, name_of, script_safe

KEYS_HELP = (
    "Arrow keys move the cell, comma and full stop change the head, page up and down the layer, "
    "Escape leaves the figure."
)
PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><body>{body}</body></html>'


class View(Figure):
    """What `heatmap`, `links` and the others return; a notebook shows it by itself.

    spec and arrays: what the front end draws. picture: a function without arguments that makes the same as a
    matplotlib figure; it is called when a static form is needed, and not before.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        arrays: Mapping[str, np.ndarray],
        picture: Callable[[], Any],
        alt: str,
        table: Mapping[str, Sequence[Any]],
        few_colours: bool = False,
    ):
        self.alt, self.table, self.picture, self.few_colours = alt, table, picture, few_colours
        listed, self.data = coding.pack(arrays)
        self.spec = spec | {"arrays": listed}

    @functools.cached_property
    def png(self) -> bytes:
        png = closed_png(self.picture())
        return with_few_colours(png) if self.few_colours else png

    @property
    def title(self) -> str:
        return self.spec["title"]

    @property
    def name(self) -> str:
        """The same for the same figure: the island's name in the page."""
        return name_of(script_safe(self.spec), coding.base64_text(self.data))

    @property
    def package(self) -> dict[str, Any]:
        """What a live widget needs to show it: no picture, no words."""
        return {"spec": self.spec, "data": self.data}

    def html(self) -> str:
        """The island. Raises ValueError where it would be larger than a notebook should carry."""
        size = len(script_safe(self.spec)) + 4 * (len(self.data) + len(self.png)) // 3
        if size > coding.HARD_LIMIT:
            raise ValueError(
                f"Expected a figure of at most {coding.HARD_LIMIT / 1e6:.0f} MB, got {size / 1e6:.1f} MB. "
                "Show less of it: record.select(layer=..., head=...), fewer frames, or a smaller picture."
            )
        spec = self.spec
        if size > coding.SOFT_LIMIT:
            more = f" This figure adds {size / 1e6:.1f} MB to the notebook; record.select(head=...) makes it smaller."
            spec = spec | {"note": spec["note"] + more}
        return island(spec, self.data, super().html(), self.name)

    def save(self, path: str | Path) -> Path:
        """Write the picture (.png, .svg, .pdf) or the live figure as a page of its own (.html)."""
        path = Path(path)
        if path.suffix == ".html":
            path.write_text(PAGE.format(title=html.escape(self.title), body=self.html()), encoding="utf-8")
        elif path.suffix == ".png":
            path.write_bytes(self.png)
        elif path.suffix in (".svg", ".pdf"):
            import matplotlib.pyplot as plt

            picture = self.picture()
            # No date inside: the same figure is the same bytes.
            date = {"Date": None} if path.suffix == ".svg" else {"CreationDate": None}
            with plt.rc_context({"svg.hashsalt": "attnlab"}):
                picture.savefig(path, bbox_inches="tight", metadata=date)
            plt.close(picture)
        else:
            raise ValueError(f'Expected a file that ends in .png, .svg, .pdf or .html, got "{path.name}".')
        return path


def view_of(
    name: str,
    record: AttentionRecord,
    picture: Callable[[AttentionRecord], Any],
    title: str,
    alt: str,
    start: Mapping[str, int],
    extra: Mapping[str, Any] | None = None,
    extra_start: Mapping[str, float] | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
    keys_help: str = KEYS_HELP,
    table: Mapping[str, Sequence[Any]] | None = None,
    more_note: str = "",
    few_colours: bool = False,
) -> View:
    """A view of one record: what all of them send to the page, with `extra` and `arrays` of its own, and
    `extra_start`, what its own controls show first. `table`: better numbers than the strongest links. `more_note`:
    what else has to be said below the figure. `few_colours`: see `with_few_colours`.

    Pools the weights where there are too many for an output, and says so below the figure.
    """
    shown, pooled = coding.fitted(record)
    coded = coding.encode(shown.weights)
    mask = None if shown.mask is None else shown.mask
    spec = {
        "view": name,
        "title": title or default_title(record),
        "record": record.digest,
        "kind": record.kind,
        "shape": list(shown.shape),
        "layerNames": list(shown.layer_names),
        "headNames": list(shown.head_names),
        "queryNames": list(shown.query_names),
        "keyNames": list(shown.key_names),
        "queryGrid": grid_of(shown.query_grid),
        "keyGrid": grid_of(shown.key_grid),
        "axes": axes_of(record),
        "high": highest(record),
        "maskShape": None if mask is None else list(mask.shape),
        "start": {**checked_start(shown, start), "root": 0, **(extra_start or {})},
        "asked": {name: place for name, place in start.items() if place is not None},
        "note": " ".join(filter(None, [more_note, note(coded, pooled)])),
        "colour": True,
        "keysHelp": keys_help,
        **(extra or {}),
    }
    sent = {"codes": coded.codes, "largest": coded.largest, "colours": colours(), **(arrays or {})}
    if mask is not None:
        sent["mask"] = mask.astype(np.uint8)
    words = alt or described(spec["title"], record)
    return View(spec, sent, lambda: picture(shown), words, table or record.to_table(), few_colours)


def with_few_colours(png: bytes) -> bytes:
    """A PNG of 64 colours: for thin lines over each other, and for many small tables, a third of the size."""
    from PIL import Image

    file = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    picture.save(file, format="png")
    return file.getvalue()


def described(title: str, record: AttentionRecord) -> str:
    return f"{title}. {record.describe()}"


def default_title(record: AttentionRecord) -> str:
    """Where no finding is given: the strongest link is one."""
    link = record.top_links(1)[0]
    verb = "opens widest for" if record.kind == "gate" else "looks most at"
    return f'"{link.query}" {verb} "{link.key}" ({link.weight:.2f})'


def checked_start(record: AttentionRecord, start: Mapping[str, int]) -> dict[str, int]:
    """What is chosen first: the strongest link, unless told otherwise."""
    weights = record.chosen
    for name, place in start.items():
        axis, size = AXES.index(name), record.shape[AXES.index(name)]
        if place is None:
            continue
        if not 0 <= place < size:
            raise ValueError(f"Expected {name} between 0 and {size - 1}, got {place}.")
        here = np.arange(size).reshape([-1 if i == axis else 1 for i in range(4)]) == place
        weights = np.where(here, weights, -1)  # the strongest link among what was chosen
    return dict(zip(AXES, map(int, np.unravel_index(weights.argmax(), record.shape)), strict=True))


def axes_of(record: AttentionRecord) -> dict[str, str]:
    if record.kind == "gate":
        return {
            "query": "input",
            "key": {"channel": "channel", "time": "moment", "space": "place"}.get(record.over, "key"),
        }
    return {"query": "query", "key": "key"}


def highest(record: AttentionRecord) -> float:
    """The upper end of the colours: 1 for a gate, the largest weight otherwise, the same in all heads."""
    return max(1.0, float(record.weights.max())) if record.kind == "gate" else float(record.weights.max()) or 1.0


def note(coded: coding.Coded, pooled: int) -> str:
    """What the figure leaves out, said below it."""
    bits = 8 * coded.codes.itemsize
    told = f"Weights are kept in {bits} bits each: at most {coding.at_most(coded.error)} off."
    if pooled > 1:
        told = (
            f"Too many weights for one output: each cell shows the largest of {pooled} x {pooled}. "
            f"Choose a part for single ones: record.select(layer=..., head=...). {told}"
        )
    return told


def grid_of(grid: Any) -> dict[str, Any] | None:
    return None if grid is None else {"t": grid.t, "y": grid.y, "x": grid.x, "before": len(grid.before)}


@functools.cache
def colours() -> np.ndarray:
    """256 colours (256, 3) from dark blue to yellow; even in lightness, and the same to a colour-blind eye."""
    import matplotlib

    return np.round(255 * matplotlib.colormaps["cividis"](np.arange(256))[:, :3]).astype(np.uint8)
