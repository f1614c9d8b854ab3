"""The reference's functions, fast: kernels of our own on a GPU, torch's on a CPU. Works without triton.

How the kernels came to be is a ladder to read, `attnlab.fast.ladder`, from the equation to the kernel.
"""

from attnlab.fast.attention import Plan, attention, explain
from attnlab.fast.dilated_attention import dilated_attention
from attnlab.fast.distance_bias import alibi_attention, alibi_slopes, relative_attention
from attnlab.fast.neighbourhood import neighbourhood_attention
from attnlab.fast.sliding_window import sliding_attention

__all__ = [
    "Plan",
    "alibi_attention",
    "alibi_slopes",
    "attention",
    "dilated_attention",
    "explain",
    "neighbourhood_attention",
    "relative_attention",
    "sliding_attention",
]
