"""`python -m attnlab.bench`: how fast `attnlab.fast` is on this machine, beside what else computes the same.

One run measures everything that it compares, in turns, so that whatever slows the machine down slows all alike. What
counts are the ratios; the seconds are this machine's.
"""
