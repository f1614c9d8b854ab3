"""The referee: two processes that share nothing but bytes.

W, the student process (`student.py`), runs a submission's cells in a jail. C, the checker (`checker.py`), holds the
release's test cells, the checks and the seed, and asks W through proxies. `result.py` says what comes out.
"""
