"""A ladder to read, from the equation to the kernel, one idea a rung:

    0  naive            the equation, with its table of scores
    1  tiled_numpy      tile by tile, so that no table is ever whole; three walks over the keys
    2  online_softmax   one walk: what was summed under an old maximum is corrected
    3  tiled_torch      the same with heads and masks, and the backward pass
    4  triton_first     rung 2 as a kernel, and nothing else
    5  triton_forward   all that attention is asked for, and fast
    6  triton_backward  its gradients

`triton_tiles` holds what rungs 5 and 6 share. Each rung is tested against the one below it, in
`tests/fast/test_ladder.py`. Rungs 0, 3, 5 and 6 are also what `attnlab.fast.attention` runs, as "naive", "tiled" and
"triton".
"""
