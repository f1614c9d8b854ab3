"""Views of an attention record: each is one call, alive in a page, a picture in print, and words."""

from __future__ import annotations

from attnlab.viz.record import AttentionRecord
from attnlab.viz.views.compare import compare
from attnlab.viz.views.gate import gate
from attnlab.viz.views.heads import heads
from attnlab.viz.views.heatmap import heatmap
from attnlab.viz.views.links import links
from attnlab.viz.views.neuron import neuron
from attnlab.viz.views.overlay import overlay
from attnlab.viz.views.space_time import space_time
from attnlab.viz.views.view import View

__all__ = ["View", "compare", "fitting_view", "gate", "heads", "heatmap", "links", "neuron", "overlay", "space_time"]


def fitting_view(record: AttentionRecord) -> View:
    """The view that a record shows by itself: all heads where there are several, else its one table."""
    return heads(record) if record.shape[0] * record.shape[1] > 1 else heatmap(record)
