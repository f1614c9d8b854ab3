"""The references, imported so that the shapes and dtypes in their signatures are checked at every call.

Only these copies are checked: what others have imported, or will import, stays as it is.
"""

import importlib
import sys

from jaxtyping import install_import_hook

MODULES = (
    "softmax",
    "weighted_average",
    "nadaraya_watson",
    "dot_product",
    "attention",
    "causal_mask",
    "self_attention",
    "entropy",
    "soft_dictionary",
)


def _imported_with_checks():
    names = [f"attnlab.reference.{name}" for name in MODULES]
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    with install_import_hook("attnlab.reference", "beartype.beartype"):
        fresh = [importlib.import_module(name) for name in names]
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(before)
    return fresh


softmax_, average_, kernel_, dot_, attention_, mask_, module_, entropy_, dictionary_ = _imported_with_checks()

softmax = softmax_.softmax
weighted_average = average_.weighted_average
squared_distances = kernel_.squared_distances
nadaraya_watson = kernel_.nadaraya_watson
leave_one_out = kernel_.leave_one_out
dot_product_scores = dot_.dot_product_scores
scale = dot_.scale
attention = attention_.attention
causal_mask = mask_.causal_mask
SelfAttention1d = module_.SelfAttention1d
entropy = entropy_.entropy
soft_lookup = dictionary_.soft_lookup
