"""The reference's functions, fast: kernels of our own on a GPU, torch's on a CPU. Works without triton.

How the kernels came to be is a ladder to read, `attnlab.fast.ladder`, from the equation to the kernel.
"""

from attnlab.fast.attention import Plan, attention, explain
from attnlab.fast.dilated_attention import dilated_attention
from attnlab.fast.distance_bias import alibi_attention, alibi_slopes, relative_attention
from attnlab.fast.gates import cbam, channel_attention, spatial_attention, squeeze_excitation
from attnlab.fast.neighbourhood import neighbourhood_attention
from attnlab.fast.packing import Layout, layout, layout_of, pack, packed_attention, unpack
from attnlab.fast.sliding_window import sliding_attention

__all__ = ["Plan", "attention", "explain"]
__all__ += ["Layout", "layout", "layout_of", "pack", "packed_attention", "unpack"]
__all__ += ["dilated_attention", "neighbourhood_attention", "sliding_attention"]
__all__ += ["alibi_attention", "alibi_slopes", "relative_attention"]
__all__ += ["cbam", "channel_attention", "spatial_attention", "squeeze_excitation"]
