"""The gate runs on one thread and leaves the learner's progress alone."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTNLAB_PROGRESS", str(tmp_path / "progress.json"))
