"""Weights as bytes: small, and no small weight vanishes."""

import numpy as np
import pytest

from attnlab.viz import AttentionRecord, heads, heatmap
from attnlab.viz.views import coding
from tests.viz.records import random_record, random_weights


@pytest.mark.parametrize("sharpness", [0.1, 2.0, 8.0])
def test_no_weight_above_zero_is_shown_as_zero(sharpness):
    weights = random_weights(1, 2, 64, 512, sharpness=sharpness).astype(np.float32)
    coded = coding.encode(weights)
    assert (coded.codes > 0).sum() == (weights > 0).sum()


@pytest.mark.parametrize("sharpness", [0.1, 2.0, 8.0])
def test_the_error_that_is_printed_is_the_largest_there_is(sharpness):
    weights = random_weights(1, 2, 64, 512, sharpness=sharpness).astype(np.float32)
    coded = coding.encode(weights)
    read = coding.decode(coded.codes, coded.largest[..., None])
    assert np.abs(read - weights).max() == pytest.approx(coded.error)
    assert coded.error <= weights.max() / 255
    assert f"at most {coding.at_most(coded.error)} off" in heatmap(AttentionRecord(weights, kind="cross")).spec["note"]


def test_rows_without_weight_stay_without():
    weights = np.zeros((1, 1, 2, 3), dtype=np.float32)
    coded = coding.encode(weights)
    assert not coded.codes.any() and coded.error == 0


def test_what_fits_is_sent_whole_and_what_does_not_is_pooled_and_says_so():
    record = AttentionRecord(random_weights(1, 2, 30, 20), kind="cross")
    assert coding.fitted(record, most=1200) == (record, 1)
    pooled, n = coding.fitted(record, most=400)
    assert (n, pooled.shape) == (2, (1, 2, 15, 10))
    assert pooled.weights[0, 1, 3, 4] == record.weights[0, 1, 6:8, 8:10].max()
    assert pooled.key_names[4] == "8 … 9"


def test_too_many_weights_are_pooled_in_the_view(monkeypatch):
    monkeypatch.setattr(coding.fitted, "__defaults__", (400,))
    view = heads(AttentionRecord(random_weights(1, 2, 30, 30)))
    assert "the largest of 3 x 3" in view.spec["note"]
    assert view.spec["shape"] == [1, 2, 10, 10]


def test_an_output_beyond_the_hard_limit_is_refused(monkeypatch):
    monkeypatch.setattr(coding, "HARD_LIMIT", 10_000)
    with pytest.raises(ValueError, match=r"at most 0 MB, got .* record.select\(layer="):
        heatmap(random_record()).html()


def test_an_output_beyond_the_soft_limit_says_how_to_make_it_smaller(monkeypatch):
    monkeypatch.setattr(coding, "SOFT_LIMIT", 10_000)
    assert "record.select(head=...) makes it smaller" in heatmap(random_record()).html()


def test_one_layer_of_twelve_heads_and_128_tokens_stays_below_0_4_mb():
    record = AttentionRecord(random_weights(1, 12, 128, 128))
    assert len(heads(record).html()) <= 400_000


def test_512_tokens_and_twelve_heads_fit_whole():
    view = heads(AttentionRecord(random_weights(1, 12, 512, 512)))
    assert view.spec["shape"] == [1, 12, 512, 512]
    assert len(view.html()) <= coding.HARD_LIMIT
