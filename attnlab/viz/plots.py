"""The two plain pictures that lessons draw again and again, colour-blind-safe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

STYLES = (("#b35806", "o", "--"), ("#2166ac", "s", "-"), ("#542788", "^", ":"))


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
