"""As many heads of a record as one output can carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from attnlab.viz.record import AttentionRecord
from attnlab.viz.views import coding


def part_that_fits(
    record: AttentionRecord, chosen: Mapping[str, int], bytes_of_a_head: int, most: int = coding.MOST_WEIGHTS
) -> dict[str, int]:
    """Which part of a record to send, as arguments for `cut`: nothing (all of it), its chosen layer, or one head.

    chosen: the layer and the head that must be in it. Raises ValueError where even one head is too large.
    """
    layers, heads, queries, keys = record.shape
    if layers * heads * bytes_of_a_head <= most:
        return {}
    if heads * bytes_of_a_head <= most:
        return {"layer": chosen["layer"]}
    if bytes_of_a_head <= most:
        return {"layer": chosen["layer"], "head": chosen["head"]}
    raise ValueError(
        f"Expected a head that needs at most {most / 1e6:.1f} MB in the page, got {queries} queries and {keys} keys, "
        f"which need {bytes_of_a_head / 1e6:.1f} MB. Show a part: record.select(query=slice(0, 100))."
    )


def cut(record: AttentionRecord, part: Mapping[str, int]) -> AttentionRecord:
    """The part of a record, whose layer keeps its name."""
    if not part:
        return record
    return replace(record.select(**part), source=[record.layer_names[part["layer"]]])


def left_out(record: AttentionRecord, part: Mapping[str, int]) -> str:
    """The sentence below the figure that says which part it is; empty for all of it."""
    if not part:
        return ""
    head = f", head {record.head_names[part['head']]}" if "head" in part else ""
    return f"Only {record.layer_names[part['layer']]}{head} is here: more would be too large for one output."


def within(chosen: Mapping[str, int], part: Mapping[str, int]) -> dict[str, int]:
    """Where the chosen cell is once the part was cut out."""
    return {axis: 0 if axis in part else place for axis, place in chosen.items()}
