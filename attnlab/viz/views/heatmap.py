"""One head as a table of colours: rows are queries, columns are keys."""

from __future__ import annotations

from typing import Any

from attnlab.viz.record import AttentionRecord
from attnlab.viz.views.tables import draw_table, table_size
from attnlab.viz.views.view import View, axes_of, checked_start, highest, view_of


def heatmap(
    record: AttentionRecord,
    layer: int | None = None,
    head: int | None = None,
    query: int | None = None,
    title: str = "",
    alt: str = "",
) -> View:
    """The weights of one head; layer and head can be changed where there are several.

    layer, head, query: what is chosen first; without them, where the strongest link is. Colours mean the same in all
    heads. title: the finding; alt: the description; without them the record describes itself.
    """
    start = {"layer": layer, "head": head, "query": query}
    chosen = checked_start(record, start)

    def picture(shown: AttentionRecord) -> Any:
        import matplotlib.pyplot as plt

        figure, ax = plt.subplots(figsize=table_size(shown))
        image = draw_table(ax, shown, chosen["layer"], chosen["head"], highest(shown))
        names = axes_of(shown)
        ax.set(xlabel=names["key"], ylabel=names["query"])
        ax.set_title(view.title, parse_math=False)
        figure.colorbar(image, ax=ax, label="gate" if shown.kind == "gate" else "weight", shrink=0.85)
        return figure

    view = view_of("heatmap", record, picture, title, alt, start)
    return view
