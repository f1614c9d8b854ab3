"""Figures that everybody can read: a picture with its description, its table, and where it helps, live controls."""

from attnlab.viz.explore import explore
from attnlab.viz.figure import Figure, figure
from attnlab.viz.plots import curves, matrix

__all__ = ["Figure", "curves", "explore", "figure", "matrix"]
