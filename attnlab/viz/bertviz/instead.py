"""Another view than the one asked for, with a line that says why."""

from __future__ import annotations

import html
from typing import Any


class Instead:
    """A view that shows itself in a notebook, under a message."""

    def __init__(self, message: str, view: Any):
        self.message, self.view = message, view

    def __repr__(self) -> str:
        return f"{self.message}\n{self.view!r}"

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        bundle = self.view._repr_mimebundle_(**kwargs)
        told = {
            "text/plain": f"{self.message}\n{bundle['text/plain']}",
            "text/html": f"<p>{html.escape(self.message)}</p>\n{bundle['text/html']}",
        }
        return bundle | told
