"""The plain pictures that lessons draw again and again, colour-blind-safe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

STYLES = (("#b35806", "o", "--"), ("#2166ac", "s", "-"), ("#542788", "^", ":"), ("#000000", "D", "-."))


def matrix(
    panels: Mapping[str, Any],
    xlabel: str,
    ylabel: str,
    label: str,
    vmin: float = 0.0,
    words: Sequence[str] = (),
    thumbnails: Sequence[Any] = (),
) -> Any:
    """Tables of numbers as colour, side by side, with one colour bar up to 1.

    panels: title -> (queries, keys). words: what stands at the ticks; without them, numbers. thumbnails: pictures
    of the keys, in their order, set in a row below the columns. Returns the matplotlib figure.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    picture, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 4.4), sharey=True, squeeze=False)
    for ax, (title, values) in zip(axes[0], panels.items(), strict=True):
        image = ax.imshow(values, cmap="cividis", vmin=vmin, vmax=1)
        ax.set(title=title, xlabel=xlabel)
        if words:
            ax.set_xticks(range(len(words)), words, rotation=90)
            ax.set_yticks(range(len(words)), words)
        else:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        for i, thumbnail in enumerate(thumbnails):
            inset = ax.inset_axes((i / len(thumbnails), -0.33, 1 / len(thumbnails), 0.2))
            inset.imshow(thumbnail)
            inset.axis("off")
    axes[0, 0].set_ylabel(ylabel)
    picture.colorbar(image, ax=axes.ravel().tolist(), label=label, shrink=0.85)
    return picture


def curves(x: Sequence[float], panels: Mapping[str, Mapping[str, Sequence[float]]], xlabel: str, title: str) -> Any:
    """Curves over x on logarithmic axes, a panel for each quantity.

    panels: what the vertical axis shows -> {name of the curve: its values}. Curves differ in colour, marker and
    line. Returns the matplotlib figure.
    """
    import matplotlib.pyplot as plt

    picture, axes = plt.subplots(1, len(panels), figsize=(4.7 * len(panels), 3.5), squeeze=False)
    for ax, (ylabel, named) in zip(axes[0], panels.items(), strict=True):
        for (name, values), (colour, marker, line) in zip(named.items(), STYLES, strict=False):
            ax.loglog(x, values, marker=marker, ls=line, color=colour, label=name)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.set_xticks(x, [f"{value:g}" for value in x])
        ax.minorticks_off()
        ax.legend()
    picture.suptitle(title)
    picture.tight_layout()
    return picture


def runs(
    x: Sequence[float], panels: Mapping[str, Mapping[str, Any]], xlabel: str, title: str, scale: str = "linear"
) -> Any:
    """Curves over x, each from several seeds: the mean as a line, from the lowest to the highest seed as a band.

    panels: what the vertical axis shows -> {name of the curve: (seeds, x)}. scale: of the vertical axes, as matplotlib
    calls it. Returns the matplotlib figure.
    """
    import matplotlib.pyplot as plt

    picture, axes = plt.subplots(1, len(panels), figsize=(4.7 * len(panels), 3.5), squeeze=False)
    for ax, (ylabel, named) in zip(axes[0], panels.items(), strict=True):
        for (name, seeds), (colour, marker, line) in zip(named.items(), STYLES, strict=False):
            values = np.asarray(seeds, dtype=float)
            ax.plot(x, values.mean(axis=0), marker=marker, ms=4, ls=line, color=colour, label=name)
            ax.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, linewidth=0)
        ax.set(xlabel=xlabel, ylabel=ylabel, yscale=scale)
        ax.legend()
    picture.suptitle(title)
    picture.tight_layout()
    return picture


def bars(named: Mapping[str, Sequence[float]], xlabel: str, title: str, chance: float | None = None) -> Any:
    """A bar for each name, as long as the mean of its seeds; every seed is a dot on it, chance a dashed line.

    named: name -> one value a seed. Returns the matplotlib figure.
    """
    import matplotlib.pyplot as plt

    picture, ax = plt.subplots(figsize=(7, 0.8 + 0.45 * len(named)))
    for row, values in enumerate(named.values()):
        ax.barh(row, np.mean(values), color="#92c5de", edgecolor="#2166ac")
        ax.plot(values, [row] * len(values), "o", ms=5, color="#b35806", mec="white", zorder=3)
    ax.set_yticks(range(len(named)), list(named))
    ax.invert_yaxis()
    if chance is not None:
        ax.axvline(chance, color="black", ls="--", lw=1)
        ax.text(chance, len(named) - 0.45, " chance", va="top", fontsize=8)
    ax.set(xlabel=xlabel, title=title)
    return picture
