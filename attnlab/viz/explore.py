"""A figure with controls: move a slider, and Python draws it again.

The first figure is an ordinary output, so it stays in the saved notebook; the controls come alive when the cell is
run, and where they are not alive a line says so. All of them work from the keyboard: Tab to reach one, arrows to
move it.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

from attnlab.viz.figure import Figure
from attnlab.viz.views import View

# JupyterLab and Notebook put "model not found" where a saved notebook had a widget. Our line stands there instead.
ASLEEP = """<style>
.jp-OutputArea-child:has(.attnlab-explored) + .jp-OutputArea-child:not(:has(.widget-box)) { display: none; }
.jp-OutputArea-child:has(+ .jp-OutputArea-child .widget-box) .attnlab-asleep { display: none; }
</style><p class="attnlab-asleep">This figure has controls: run its cell to use them.</p>"""


class _Explored:
    """The first figure of an exploration, with the line that stands where dead controls would be."""

    def __init__(self, figure: Figure):
        self.figure = figure

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        bundle = self.figure._repr_mimebundle_()
        return bundle | {"text/html": f'<div class="attnlab-explored">{bundle["text/html"]}{ASLEEP}</div>'}


def explore(draw: Callable[..., Figure], **controls: Any) -> None:
    """Show `draw(**values)` with a control for each of its arguments.

    A control is (lowest, highest, start), three numbers, for a slider, with a logarithmic scale where both ends are
    positive floats and far apart; a list of choices, the first one chosen, for a drop-down; or a text, to be edited.

    draw returns a view (`heatmap`, `links`, ...), which is redrawn while a slider moves, or a `figure`. An error in
    draw is shown below the controls, and the last figure stays.
    """
    import ipywidgets
    from IPython.display import display

    widgets = {name: _widget(name, control) for name, control in controls.items()}

    def current() -> Figure:
        return draw(**{name: widget.value for name, widget in widgets.items()})

    first = current()
    shown = display(_Explored(first), display_id=True)
    box = [*widgets.values(), problem := ipywidgets.HTML()]
    if isinstance(first, View):
        from attnlab.viz.views.live import live

        box.insert(len(widgets), picture := live(first))

    def redraw(_: Any) -> None:
        try:
            figure = current()
        except Exception as error:
            problem.value = f"<b>{type(error).__name__}</b>: {html.escape(str(error))}"
            return
        problem.value = ""
        if isinstance(first, View):
            picture.package = figure.package
        else:
            shown.update(_Explored(figure))

    for widget in widgets.values():
        if isinstance(first, View) and hasattr(widget, "continuous_update") and not isinstance(widget, ipywidgets.Text):
            widget.continuous_update = True
        widget.observe(redraw, names="value")
    # The widget alone, without the text that stands for it: a saved page has the figure above.
    bundle = ipywidgets.VBox(box)._repr_mimebundle_()
    display({name: data for name, data in bundle.items() if name != "text/plain"}, raw=True)


def _widget(name: str, control: Sequence[Any] | str) -> Any:
    import ipywidgets

    label = name.replace("_", " ")
    common = {"description": label, "continuous_update": False, "style": {"description_width": "initial"}}
    if isinstance(control, str):
        return ipywidgets.Text(value=control, layout={"width": "min(100%, 640px)"}, **common)
    if isinstance(control, list):
        return ipywidgets.Dropdown(options=control, value=control[0], description=label, style=common["style"])
    low, high, start = control
    if all(isinstance(number, int) for number in control):
        return ipywidgets.IntSlider(value=start, min=low, max=high, **common)
    if low > 0 and high / low >= 20:
        from math import log10

        return ipywidgets.FloatLogSlider(
            value=start, min=log10(low), max=log10(high), step=log10(high / low) / 60, readout_format=".3g", **common
        )
    return ipywidgets.FloatSlider(value=start, min=low, max=high, step=(high - low) / 50, **common)
