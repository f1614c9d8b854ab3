"""Attention weights out of any torch model while it runs: no change to the model, nor to what it returns.

    trace = capture(model, inputs)      # or: with capture(model) as trace: model(inputs)
    print(trace)                        # what was found, and what could not be read
    record = trace.record()             # an AttentionRecord, for all views

How it sees: a torch function mode watches the functions that run. torch's fused attention is computed a second time
beside the call; everything else is known by its mark, a table whose rows sum to one that is multiplied with values.
Compiled modules run uncompiled meanwhile. Not seen: scripted and exported models, kernels of other libraries.
"""

from __future__ import annotations

from typing import Any

from attnlab.capture.labels import tokens
from attnlab.capture.site import Site
from attnlab.capture.trace import Trace

__all__ = ["Site", "Trace", "capture", "tokens"]


def capture(model: Any, /, *inputs: Any, keep_vectors: bool = True, **named: Any) -> Trace:
    """Watch a model. With inputs it is called at once; without, use the result in a `with` block.

    model: a torch module, or a function of tensors. It runs exactly as it is: same mode, same gradients, same output
        (in `trace.output`); only a compiled one may round differently. Weights are recorded before dropout.
    keep_vectors: whether queries and keys are kept too, where a fused call was given them (for the neuron view).

    "self" means that queries and keys were made from one sequence, told by following the tensors back through the
    module that projects them; where that cannot be followed, equally many queries and keys count as "self".
    """
    trace = Trace(model, keep_vectors)
    return trace.run(inputs, named) if inputs or named else trace
