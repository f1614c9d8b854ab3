"""Implementations of softmax, right ones and wrong ones, for the hunt: a learner's law is to tell them apart.

Each takes (scores, temperature=1.0). The wrong ones are all right as long as the scores are small. They are
functions of a `limit`, so that each draw has other ones.
"""

from collections.abc import Callable

import torch

from attnlab.reference.softmax import softmax as reference

Softmax = Callable[..., torch.Tensor]


def _row_by_row(scores, temperature=1.0):
    rows = [row / temperature for row in scores.reshape(-1, scores.shape[-1])]
    powers = [torch.exp(row - max(row.tolist())) for row in rows]
    return torch.stack([row / row.sum() for row in powers]).reshape(scores.shape)


def _in_float64(scores, temperature=1.0):
    return reference(scores.double(), temperature).to(scores.dtype)


RIGHT: dict[str, Softmax] = {
    "torch's own": lambda scores, temperature=1.0: torch.softmax(scores / temperature, dim=-1),
    "maximum subtracted": reference,
    "exponential of log_softmax": lambda scores, temperature=1.0: (scores / temperature).log_softmax(-1).exp(),
    "in float64, maximum subtracted": _in_float64,
    "row by row": _row_by_row,
}


def _shifted(
    shift: Callable, before: Callable = lambda scores: scores, end: Callable = lambda weights: weights
) -> Softmax:
    """Softmax with `shift(scores)` subtracted, after `before`, and followed by `end`."""

    def softmax(scores, temperature=1.0):
        ready = before(scores / temperature)
        powers = torch.exp(ready - shift(ready))
        return end(powers / powers.sum(dim=-1, keepdim=True)).to(scores.dtype)

    return softmax


def _nothing(scores):
    return torch.zeros(())


def _logarithm_of_the_sum(scores, temperature=1.0):
    scores = scores / temperature
    return torch.exp(scores - torch.log(torch.exp(scores).sum(dim=-1, keepdim=True)))


def _maximum_before_the_temperature(scores, temperature=1.0):
    powers = torch.exp(scores / temperature - scores.amax(dim=-1, keepdim=True))
    return powers / powers.sum(dim=-1, keepdim=True)


def wrong(limit: float) -> dict[str, Softmax]:
    """Name -> implementation. `limit` is where the clamped one clamps."""
    return {
        "scores clamped": _shifted(_nothing, before=lambda scores: scores.clamp(-limit, limit)),
        "maximum before the temperature": _maximum_before_the_temperature,
        "maximum of all rows subtracted": _shifted(lambda scores: scores.max()),
        "first score subtracted": _shifted(lambda scores: scores[..., :1]),
        "maximum or zero subtracted": _shifted(lambda scores: scores.amax(-1, keepdim=True).clamp(min=0)),
        "NaN turned into zero": _shifted(_nothing, end=lambda weights: weights.nan_to_num(0.0)),
        "logarithm of the sum": _logarithm_of_the_sum,
        "nothing subtracted, in float64": _shifted(_nothing, before=torch.Tensor.double),
        "nothing subtracted, in float16": _shifted(_nothing, before=torch.Tensor.half),
        "largest size subtracted": _shifted(lambda scores: scores.abs().amax(-1, keepdim=True)),
        "nothing subtracted": _shifted(_nothing),
    }
