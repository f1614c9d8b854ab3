"""A ladder to read, one idea a rung: naive, tiled_numpy, online_softmax, tiled_torch, triton_forward, triton_backward.

Each is tested against the one before. The upper three are what `attnlab.fast.attention` runs.
"""
