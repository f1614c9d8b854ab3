"""The references of lesson 01, with the shapes in their signatures checked at every call (as in `checked`)."""

import importlib
import sys

from jaxtyping import install_import_hook

MODULES = (
    *("rnn", "masked_softmax", "additive_attention", "luong_attention"),
    *("attention_decoder", "local_attention", "attention_pooling"),
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


rnn, masked, additive, luong, decoder, local, pooling = _imported_with_checks()
