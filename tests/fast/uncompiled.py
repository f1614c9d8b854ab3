"""FlexAttention on a CPU, with gradients. Its plain form has them, but on a CPU it refuses before it begins."""

import warnings
from unittest import mock

from torch.nn.attention import flex_attention


def uncompiled(*inputs, **options):
    with warnings.catch_warnings(), mock.patch.object(flex_attention, "_validate_device"):
        warnings.simplefilter("ignore")  # that it is not compiled, and holds the whole table
        return flex_attention.flex_attention(*inputs, **options)
