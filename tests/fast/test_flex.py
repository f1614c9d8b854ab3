"""Our block masks are those that torch makes from the whole mask; the masks are looked at uncompiled, on a CPU."""

import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask

from attnlab.fast import flex

BANDS = [
    # queries, keys, left, right, shift
    (300, 300, 70, 0, 0),
    (300, 300, None, 0, 0),
    (300, 500, None, None, 200),
    (500, 300, 200, 130, -200),
    (128, 128, 0, 0, 0),
    (600, 600, 300, 300, 0),
    (640, 640, 256, 128, 0),
    (1, 700, 130, 0, 699),
    (300, 300, 0, 1, 0),  # the last query of a block sees the first key of the next
    (300, 300, 1, 0, 0),  # the first sees the last key of the one before
    (256, 255, None, None, -1),  # a last block of keys with a single one missing
    (255, 256, None, None, 1),  # and one of queries
]


@pytest.mark.parametrize("band", BANDS)
def test_blocks_are_torchs_own(band):
    queries, keys, *_ = band
    ours = flex.band_blocks(*band, torch.device("cpu"))
    theirs = create_block_mask(ours.mask_mod, 1, 1, queries, keys, device="cpu")
    assert ours.shape == theirs.shape
    for name in ("kv_num_blocks", "full_kv_num_blocks", "q_num_blocks", "full_q_num_blocks"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    for count, which in (("kv_num_blocks", "kv_indices"), ("full_kv_num_blocks", "full_kv_indices")):
        listed = torch.arange(getattr(ours, which).shape[-1]) < getattr(ours, count)[..., None]
        assert torch.equal(getattr(ours, which)[listed], getattr(theirs, which)[listed]), which


def test_a_long_band_is_described_without_its_pairs():
    """A mask of 131,072 tokens would take 17 GB."""
    blocks = flex.band_blocks(1 << 17, 1 << 17, 512, 0, 0, torch.device("cpu"))
    assert blocks.kv_num_blocks.max() + blocks.full_kv_num_blocks.max() == 5


def test_one_mask_function_serves_all_windows():
    """What is compiled for one window is not compiled again for the next: the limits are tensors."""
    first, second = (flex.band_blocks(64, 64, left, 0, 0, torch.device("cpu")).mask_mod for left in (3, 5))
    assert first.__code__ is second.__code__
    assert all(isinstance(cell.cell_contents, torch.Tensor) for cell in first.__closure__)
