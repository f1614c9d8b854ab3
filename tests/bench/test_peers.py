"""Other libraries' layers beside ours: the same outputs from the same weights, whichever of them are installed."""

import pytest
import torch

from attnlab.bench import peers
from attnlab.bench.measuring import Setting

TINY = Setting(torch.device("cpu"), quick=True, seconds=0, ceilings={})


@pytest.mark.parametrize("package", peers.PEERS)
def test_ours_gives_what_the_peer_gives(package):
    try:
        cases = list(peers.PEERS[package](TINY))
    except ModuleNotFoundError as missing:
        pytest.skip(str(missing))
    assert cases
    for case in cases:
        for way in case.ways.values():
            case.answer.check(way())


def test_what_cannot_be_imported_is_named_and_not_measured(monkeypatch):
    def missing(setting):
        raise ModuleNotFoundError("No module named 'missing'")
        yield

    monkeypatch.setattr(peers, "PEERS", {"missing": missing})
    (row,) = peers.rows(TINY)
    assert row["way"] == "missing" and row["why"] == "not installed: No module named 'missing'"
