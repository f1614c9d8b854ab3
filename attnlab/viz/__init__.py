"""Figures that everybody can read: alive where scripts run, a picture where not, words and a table always."""

from attnlab.viz.explore import explore
from attnlab.viz.figure import Figure, figure
from attnlab.viz.plots import bars, curves, matrix, runs
from attnlab.viz.record import AttentionRecord, Grid, Link
from attnlab.viz.views import View, compare, gate, heads, heatmap, links, neuron, overlay, space_time

__all__ = ["AttentionRecord", "Figure", "Grid", "Link", "View"]
__all__ += ["compare", "gate", "heads", "heatmap", "links", "neuron", "overlay", "space_time"]
__all__ += ["bars", "curves", "explore", "figure", "matrix", "runs"]
