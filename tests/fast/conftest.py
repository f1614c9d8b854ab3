"""Our kernels run here in Triton's interpreter, unless there is a GPU."""

import os

import torch

if not torch.cuda.is_available():  # read when a kernel's file is imported, so it has to be set before
    os.environ["TRITON_INTERPRET"] = "1"
