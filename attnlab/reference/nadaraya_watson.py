"""Nadaraya-Watson kernel regression: attention of 1964, with nothing to learn.

    output(q) = sum_k K((q - x_k) / h) y_k / sum_k K((q - x_k) / h),     K Gaussian, h the bandwidth

E. A. Nadaraya, "On estimating regression", 1964; G. S. Watson, "Smooth regression analysis", 1964.
Our keys are their sample points x, our values their observations y, our query the point to predict.
The Gaussian of a distance is the exponential of a score, so the quotient is a softmax:
score = -|q - x|^2 / (2 h^2), and h^2 plays the part of the temperature.
Departs from the papers: several features a value, and a width of more than one, at once.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.reference.softmax import softmax
from attnlab.reference.weighted_average import weighted_average


def squared_distances(
    queries: Float[Tensor, "*batch queries width"], keys: Float[Tensor, "*batch keys width"]
) -> Float[Tensor, "*batch queries keys"]:
    """Squared Euclidean distance of every query to every key.

    Differences first, squares second: the expanded form |q|^2 - 2 q.k + |k|^2 is faster, and cancels badly
    when query and key are close.
    """
    return (queries.unsqueeze(-2) - keys.unsqueeze(-3)).square().sum(dim=-1)


def nadaraya_watson(
    queries: Float[Tensor, "*batch queries width"],
    keys: Float[Tensor, "*batch keys width"],
    values: Float[Tensor, "*batch keys features"],
    bandwidth: float,
) -> tuple[Float[Tensor, "*batch queries features"], Float[Tensor, "*batch queries keys"]]:
    """The average that each query takes of the values, and the weights it took it with.

    `bandwidth` is in the units of the keys.
    """
    scores = squared_distances(queries, keys) / -2
    weights = softmax(scores, temperature=bandwidth**2)
    return weighted_average(weights, values), weights


def leave_one_out(
    keys: Float[Tensor, "*batch keys width"], values: Float[Tensor, "*batch keys features"], bandwidth: float
) -> tuple[Float[Tensor, "*batch keys features"], Float[Tensor, "*batch keys keys"]]:
    """Predict the value of each key from all the others: the honest way to judge a bandwidth.

    Every key is a query, and may not see itself. The weights come with a diagonal of zeros.
    Needs two keys or more. (Stone 1974, cross-validatory choice.)
    """
    scores = squared_distances(keys, keys) / -2
    itself = torch.eye(keys.shape[-2], dtype=torch.bool, device=keys.device)
    weights = softmax(scores.masked_fill(itself, -torch.inf), temperature=bandwidth**2)
    return weighted_average(weights, values), weights
