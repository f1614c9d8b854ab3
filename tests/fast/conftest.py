"""Kernels run in Triton's interpreter here, wherever that is. On a device they are tested by `tests/gpu`."""

import os

os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel's file is imported, so it has to be set before
