"""Kernels on a device: python -m pytest tests/gpu -m gpu

Where there is none, all of this is skipped. With ATTNLAB_TEST_DEVICE=cpu and TRITON_INTERPRET=1 it runs in the
interpreter, for minutes, to see that the tests themselves are right.
"""

import os

import pytest
import torch

DEVICE = torch.device(os.environ.get("ATTNLAB_TEST_DEVICE", "cuda"))
ON_GPU = DEVICE.type == "cuda"


@pytest.fixture(autouse=True)
def a_device_is_there():
    if ON_GPU and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
