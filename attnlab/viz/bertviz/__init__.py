"""BertViz's own views of an attention record, drawn without a network.

BertViz (Jesse Vig, 2019) is the tool that most people see attention with first. It loads its scripts from the web
while it draws, so in a notebook it often shows nothing. Here its drawing code runs in a sealed frame, with D3 and
jQuery from the folder vendor/ beside this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnlab.viz.record import AttentionRecord

VIEWS = ("head", "model", "neuron")
MOST_NUMBERS = 200_000  # BertViz draws an element for every weight; far more of them make a browser stand still

__all__ = ["MOST_NUMBERS", "VIEWS", "show"]


def show(record: AttentionRecord, view: str = "head") -> Any:
    """One of BertViz's views of a record (layer, head, query, key), as an output for a notebook.

    "head": lines from queries to keys, one layer at a time, a colour for each head; point at a token, click heads.
    "model": all layers and heads as small pictures; click one to enlarge it.
    "neuron": how a query and the keys make the weights, number by number. BertViz offers it for the BERT, GPT-2 and
        RoBERTa that it brings along. Here its script is handed the record's `queries` and `keys` instead, so any
        model will do; nothing of BertViz but that script runs. It always divides q·k by the square root of the
        width; where the record's `scale` is another, a line below the frame says so.

    Numbers are cut to four digits. A record of more than `MOST_NUMBERS` numbers (weights, and for "neuron" queries
    and keys too) is drawn by our own view, with a line that says why. BertViz answers to the mouse only; the same as
    a picture, in words and as a table stands below it.

    Raises ValueError for a gate, for another view, and for "neuron" without queries and keys; ImportError when
    BertViz is not installed.
    """
    _check(record, view)
    numbers = _numbers(record, view)
    if numbers > MOST_NUMBERS:
        return _ours(record, view, numbers)
    try:
        import bertviz  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Expected the package bertviz, found none; it is an extra. Install it: pip install 'attnlab[bertviz]'"
        ) from error
    from attnlab.viz.bertviz.drawing import drawing
    from attnlab.viz.bertviz.frame import frame

    return frame(record, view, drawing(record, view))


def _check(record: AttentionRecord, view: str) -> None:
    if view not in VIEWS:
        raise ValueError(f"Expected a view of BertViz, one of {', '.join(map(repr, VIEWS))}; got {view!r}.")
    if record.kind == "gate":
        raise ValueError(
            "BertViz knows only attention between tokens; got a gate, whose numbers stand each for itself. "
            "Show the record itself: our own views draw gates."
        )
    if view == "neuron" and record.queries is None:
        raise ValueError(
            'Expected a record with `queries` and `keys` for the view "neuron", got weights alone. '
            "capture(..., keep_vectors=True) keeps them; a mean, a rollout or another temperature has none."
        )


def _numbers(record: AttentionRecord, view: str) -> int:
    return record.weights.size + (record.queries.size + record.keys.size if view == "neuron" else 0)


def _ours(record: AttentionRecord, view: str, numbers: int) -> Any:
    """Our own view that comes closest, and why it stands here."""
    from attnlab.viz import views
    from attnlab.viz.bertviz.instead import Instead
    from attnlab.viz.views.links import MOST_TOKENS

    draw = {"head": views.links, "model": views.heads, "neuron": views.neuron}[view]
    if view == "head" and max(record.shape[2:]) > MOST_TOKENS:
        draw = views.heads  # so many lines are refused there too
    why = (
        f"BertViz's {view} view would take {numbers:,} numbers and draw them one by one; above {MOST_NUMBERS:,} a "
        "browser stands still for too long. This is our own view of the same record. For BertViz, choose a part, "
        "such as record.select(layer=0, head=0)."
    )
    return Instead(why, draw(record))
