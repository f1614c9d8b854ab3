"""The four scores of Luong: three compare content, the fourth looks at the clock only.

    dot       h_t^T h_s
    general   h_t^T W_a h_s
    concat    v_a^T tanh(W_a [h_t ; h_s])                     Luong et al. 2015, section 3.1
    location  (W_a h_t)_s, for source places s = 0, 1, ...    the same, equation 8

Our query is their decoder state h_t, our key their encoder state h_s. concat is Bahdanau's score with W_a = [W U].
None of them is scaled. location has a row of W_a for each place, so there is a longest sentence.
"""

from jaxtyping import Float
from torch import Tensor

from attnlab.reference.additive_attention import additive_scores
from attnlab.reference.dot_product import dot_product_scores


def luong_scores(
    query: Float[Tensor, "*batch queries query_width"],
    key: Float[Tensor, "*batch keys key_width"],
    method: str = "dot",
    weight: Tensor | None = None,
    vector: Tensor | None = None,
) -> Float[Tensor, "*batch queries keys"]:
    """The score of every query with every key.

    weight: for general (query_width, key_width); for concat (hidden, query_width + key_width), the query's columns
    first. vector: for concat (hidden,). dot needs equal widths.
    """
    match method:
        case "dot":
            return dot_product_scores(query, key)
        case "general":
            return dot_product_scores(query @ weight, key)
        case "concat":
            to_query, to_key = weight.split([query.shape[-1], key.shape[-1]], dim=1)
            return additive_scores(query, key, to_query, to_key, vector)
    raise ValueError(f"Expected dot, general or concat for the method, got {method!r}.")


def location_scores(
    query: Float[Tensor, "*batch queries query_width"], weight: Float[Tensor, "longest query_width"], keys: int
) -> Float[Tensor, "*batch queries keys"]:
    """Scores that know the query and the place, and nothing of what stands there."""
    if keys > len(weight):
        raise ValueError(f"Expected at most {len(weight)} keys, as many as the weight has rows; got {keys}.")
    return query @ weight[:keys].mT


def luong_parameters(method: str, query_width: int, key_width: int, hidden: int = 0, longest: int = 0) -> int:
    """How many numbers a score has to learn."""
    counts = {
        "dot": 0,
        "general": query_width * key_width,
        "concat": hidden * (query_width + key_width) + hidden,
        "location": longest * query_width,
    }
    return counts[method]
