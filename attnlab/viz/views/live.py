"""A view that Python keeps alive: the same module as the island, in a widget that is sent new data."""

from __future__ import annotations

import functools
from typing import Any

from attnlab.viz.front import module
from attnlab.viz.views.view import View


@functools.cache
def _live_view() -> type:
    import anywidget
    import traitlets

    class LiveView(anywidget.AnyWidget):
        """package: what `View.package` is. stand_in: the island that steps aside while the widget lives."""

        _esm = module()
        package = traitlets.Dict().tag(sync=True)
        stand_in = traitlets.Unicode().tag(sync=True)

    return LiveView


def live(view: View) -> Any:
    """A widget that shows the view; give its `package` another view's to show that one."""
    return _live_view()(package=view.package, stand_in=view.name)
