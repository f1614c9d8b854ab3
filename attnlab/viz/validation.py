"""What a record must be before anything is drawn from it, and what to say when it is not.

Every message tells what was expected, what came, and what that usually means.
"""

from __future__ import annotations

from typing import Any

import numpy as np

AXES = ("layer", "head", "query", "key")
ROW_SUM_TOLERANCE = 1e-3
HALF_TOLERANCE = 2e-2  # float16 and bfloat16 keep two to three digits


def as_array(values: Any, what: str) -> np.ndarray:
    """Numbers from a list, an array or a tensor of any device; torch itself is not needed for that."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() else values).numpy()
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"Expected {what} as one array of numbers; the rows have different lengths.") from error
    if array.dtype.kind not in "fiub":
        raise ValueError(f"Expected {what} as an array of numbers, got {type(values).__name__} of {array.dtype}.")
    return array


def checked(record: Any) -> dict[str, Any]:
    """The record's fields, brought into their one form. Raises ValueError for what cannot be."""
    if record.kind not in ("self", "cross", "gate"):
        raise ValueError(f'Expected kind "self", "cross" or "gate", got {record.kind!r}.')
    half = str(getattr(record.weights, "dtype", "")).split(".")[-1] in ("float16", "bfloat16")
    weights = _four_axes(as_array(record.weights, "weights"))
    fields = {"weights": weights, "source": tuple(map(str, record.source))}
    if fields["source"] and len(fields["source"]) != weights.shape[0]:
        raise ValueError(f"Expected one source for each of {weights.shape[0]} layers, got {len(fields['source'])}.")
    fields["heads"] = tuple(map(str, record.heads))
    if fields["heads"] and len(fields["heads"]) != weights.shape[1]:
        raise ValueError(f"Expected a name for each of {weights.shape[1]} heads, got {len(fields['heads'])}.")
    fields |= _sides(record, weights)
    fields["mask"] = _mask(record.mask, weights)
    _numbers(record, weights, fields["mask"], HALF_TOLERANCE if half else ROW_SUM_TOLERANCE)
    fields |= _vectors(record, weights)
    for array in (weights, fields["mask"], fields["queries"], fields["keys"]):
        if array is not None:
            array.flags.writeable = False  # several views share it
    return fields


def _four_axes(weights: np.ndarray) -> np.ndarray:
    if not 2 <= weights.ndim <= 4:
        hint = " Choose one item of the batch first." if weights.ndim == 5 else ""
        raise ValueError(f"Expected weights (layer, head, query, key), got shape {weights.shape}.{hint}")
    weights = weights.reshape((1,) * (4 - weights.ndim) + weights.shape)
    if 0 in weights.shape:
        raise ValueError(f"Expected at least one of each axis (layer, head, query, key), got shape {weights.shape}.")
    return np.array(weights, dtype=np.float32)


def _sides(record: Any, weights: np.ndarray) -> dict[str, Any]:
    """Labels and grids of both sides; self-attention needs them once."""
    fields = {}
    same = record.kind == "self"
    if same and weights.shape[2] != weights.shape[3]:
        raise ValueError(
            f"Self-attention has as many queries as keys, got {weights.shape[2]} and {weights.shape[3]}. "
            'For attention to another sequence pass kind="cross".'
        )
    for side, size in (("query", weights.shape[2]), ("key", weights.shape[3])):
        labels, grid = getattr(record, f"{side}_labels"), getattr(record, f"{side}_grid")
        if same and side == "key":
            labels = record.query_labels if labels is None else labels
            grid = record.query_grid if grid is None and record.key_labels is None else grid
        if isinstance(labels, str):
            raise ValueError(f"Expected {side}_labels as a list of texts, got one text. Split it into tokens first.")
        if labels is not None:
            labels = tuple(map(str, labels))
            if len(labels) != size:
                raise ValueError(f"Expected {size} {side}_labels, one for each {side}, got {len(labels)}.")
        if grid is not None and grid.size != size:
            raise ValueError(
                f"Expected a {side}_grid of {size} tokens, got {len(grid.before)} before it and "
                f"{grid.t} x {grid.y} x {grid.x} places, {grid.size} in all. "
                "One too many or too few is usually the class token: name it in Grid(before=...)."
            )
        fields |= {f"{side}_labels": labels, f"{side}_grid": grid}
    return fields


def _mask(mask: Any, weights: np.ndarray) -> np.ndarray | None:
    if mask is None:
        return None
    mask = as_array(mask, "mask")
    if mask.dtype != bool:
        raise ValueError(
            f"Expected a boolean mask in which True means may be seen, got {mask.dtype}. "
            "For a mask that is added to scores, pass mask == 0."
        )
    try:
        np.broadcast_to(mask, weights.shape)
    except ValueError:
        raise ValueError(
            f"Expected a mask that broadcasts to (layer, head, query, key) = {weights.shape}, got {mask.shape}."
        ) from None
    return np.array(mask.reshape((1,) * (4 - mask.ndim) + mask.shape))


def _numbers(record: Any, weights: np.ndarray, mask: np.ndarray | None, tolerance: float) -> None:
    if not np.isfinite(weights).all():
        kind = "NaN" if np.isnan(weights).any() else "infinite"
        why = " A row in which everything is hidden gives NaN in a softmax." if kind == "NaN" else ""
        raise ValueError(f"Expected finite weights, got {kind} at {_place(~np.isfinite(weights))}.{why}")
    if weights.min() < 0:
        raise ValueError(
            f"Expected weights of 0 or more, got {weights.min():.3g} at {_place(weights == weights.min())}. "
            "Are these scores, before the softmax?"
        )
    visible = np.broadcast_to(True if mask is None else mask, weights.shape)
    if weights[~visible].any():
        raise ValueError(
            f"Expected no weight on hidden keys, got {weights[~visible].max():.3g} at "
            f"{_place((weights > 0) & ~visible)}. In a mask, True means may be seen: is it upside down?"
        )
    if record.kind == "gate" or not record.complete:
        return
    wrong = np.abs(weights.sum(axis=-1) - visible.any(axis=-1)) > tolerance
    if wrong.any():
        layer, head, query = np.argwhere(wrong)[0]
        total = weights[layer, head, query].sum()
        raise ValueError(
            f"Expected every row to sum to 1, got {total:.4g} at layer {layer}, head {head}, query {query} "
            f"({wrong.sum()} of {wrong.size} rows). {_why_not_one(weights, total)}"
        )


def _why_not_one(weights: np.ndarray, total: float) -> str:
    if total == 0:
        return "If this query may see nothing, say so in the mask."
    if np.allclose(weights.sum(axis=-2), 1, atol=ROW_SUM_TOLERANCE):
        return "The columns do: the softmax went over the queries."
    return 'Usual causes: dropout (call model.eval()), or numbers that are gates (pass kind="gate").'


def _vectors(record: Any, weights: np.ndarray) -> dict[str, Any]:
    """Queries and keys, both or neither, (layer, head, number, width)."""
    if (record.queries is None) != (record.keys is None):
        raise ValueError("Expected queries and keys together, got one of the two.")
    if record.queries is None:
        return {"queries": None, "keys": None}
    fields = {}
    for name, size in (("queries", weights.shape[2]), ("keys", weights.shape[3])):
        array = as_array(getattr(record, name), name)
        if 2 <= array.ndim < 4:
            array = array.reshape((1,) * (4 - array.ndim) + array.shape)
        if array.ndim != 4 or array.shape[:3] != (*weights.shape[:2], size):
            wanted = ", ".join(map(str, (*weights.shape[:2], size)))
            raise ValueError(f"Expected {name} ({wanted}, width), got {array.shape}.")
        fields[name] = np.array(array, dtype=np.float32)
    if fields["queries"].shape[-1] != fields["keys"].shape[-1]:
        raise ValueError(
            f"Expected queries and keys of one width, got {fields['queries'].shape[-1]} and {fields['keys'].shape[-1]}."
        )
    return fields


def _place(where: np.ndarray) -> str:
    return ", ".join(f"{axis} {i}" for axis, i in zip(AXES, np.argwhere(where)[0], strict=True))
