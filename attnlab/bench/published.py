"""Published figures, to know what is good: forward on an H100, float16, TFLOP/s by the conventions of `counting`.

FlashAttention-3 (Shah et al. 2024, arXiv 2407.08608), figure 5; 16,384 tokens in all, heads * width = 2048. An H200 is
the same chip with more memory. These are figures of other people on another machine: an anchor, no measurement.
"""

LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
FLASH_3 = {  # (width, mask): by length
    (64, "full"): (333, 392, 460, 476, 496, 497),
    (64, "causal"): (197, 265, 371, 420, 460, 473),
    (128, "full"): (467, 565, 625, 638, 646, 648),
    (128, "causal"): (292, 423, 521, 579, 602, 616),
    (256, "full"): (482, 627, 707, 736, 746, 756),
    (256, "causal"): (286, 427, 537, 612, 628, 642),
}
NOMINAL = 989  # TFLOP/s of that chip in half precision, at 1830 MHz


def flash_3(width: int, mask: str, tokens: int) -> float | None:
    """TFLOP/s, where they published it."""
    figures = FLASH_3.get((width, mask))
    return float(figures[LENGTHS.index(tokens)]) if figures and tokens in LENGTHS else None
