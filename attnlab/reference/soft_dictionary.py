"""A soft dictionary: look a query up among keys that need not match exactly.

    answer = sum_k softmax_k(cos(query, key_k) / T) value_k

At a low temperature it returns the value of the most similar key, as a dictionary would; at a high one the mean
of all values. The view of attention as addressing by content goes back to Graves et al. 2014, Neural Turing
Machines, section 3.3.1, where beta, our 1/T, sharpens a cosine similarity.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from attnlab.reference.dot_product import dot_product_scores
from attnlab.reference.softmax import softmax
from attnlab.reference.weighted_average import weighted_average


def soft_lookup(
    query: Float[Tensor, "*batch queries width"],
    key: Float[Tensor, "*batch keys width"],
    value: Float[Tensor, "*batch keys features"],
    temperature: float,
) -> tuple[Float[Tensor, "*batch queries features"], Float[Tensor, "*batch queries keys"]]:
    """What is found for each query, and the weights of the keys."""
    similarity = dot_product_scores(normalize(query, dim=-1), normalize(key, dim=-1))
    weights = softmax(similarity, temperature)
    return weighted_average(weights, value), weights
