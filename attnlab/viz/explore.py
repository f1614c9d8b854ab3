"""A figure with controls: move a slider, and the picture is drawn again.

The picture is an ordinary output, so it stays in the saved notebook; the controls come alive when the cell is
run. Sliders and drop-downs work from the keyboard: Tab to reach one, arrows to move it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attnlab.viz.figure import Figure


def explore(draw: Callable[..., Figure], **controls: Sequence[Any]) -> None:
    """Show `draw(**values)` with a control for each of its arguments.

    A control is (lowest, highest, start), three numbers, for a slider, with a logarithmic scale where both ends
    are positive floats and far apart; or a list of choices, the first one chosen, for a drop-down.
    """
    import ipywidgets
    from IPython.display import display

    widgets = {name: _widget(name, control) for name, control in controls.items()}

    def current() -> Figure:
        return draw(**{name: widget.value for name, widget in widgets.items()})

    shown = display(current(), display_id=True)
    for widget in widgets.values():
        widget.observe(lambda _: shown.update(current()), names="value")
    display(ipywidgets.VBox(list(widgets.values())))


def _widget(name: str, control: Sequence[Any]) -> Any:
    import ipywidgets

    label = name.replace("_", " ")
    common = {"description": label, "continuous_update": False, "style": {"description_width": "initial"}}
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
