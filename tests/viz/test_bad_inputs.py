"""What cannot be drawn is refused, with what was expected, what came, and what it usually means."""

import numpy as np
import pytest
import torch

from attnlab.viz import AttentionRecord, Grid, heatmap
from tests.viz.records import CAUSAL, WORDS, random_record, random_weights

RECORD = random_record()
GATE = AttentionRecord.gate(np.full((4, 8), 0.5))


def with_one(value, layer=0, head=0, query=0, key=0):
    weights = random_weights(1, 2, 5, 5)
    weights[layer, head, query, key] = value
    return weights


BAD = {
    "one axis": (lambda: AttentionRecord(np.ones(5)), r"\(layer, head, query, key\), got shape \(5,\)"),
    "five axes": (lambda: AttentionRecord(random_weights(2, 1, 3, 4, 4)), "Choose one item of the batch first"),
    "no heads": (lambda: AttentionRecord(np.ones((1, 0, 5, 5))), r"at least one of each axis.*\(1, 0, 5, 5\)"),
    "rows of different lengths": (lambda: AttentionRecord([[1.0], [0.5, 0.5]]), "rows have different lengths"),
    "texts": (lambda: AttentionRecord([["a", "b"], ["c", "d"]]), "array of numbers, got list"),
    "nothing": (lambda: AttentionRecord(None), "array of numbers, got NoneType"),
    "NaN": (
        lambda: AttentionRecord(with_one(np.nan, head=1, query=3)),
        "NaN at layer 0, head 1, query 3, key 0.*hidden",
    ),
    "infinite": (lambda: AttentionRecord(with_one(np.inf)), "infinite at layer 0, head 0"),
    "scores": (
        lambda: AttentionRecord(np.random.default_rng(0).normal(size=(5, 5))),
        "Are these scores, before the softmax",
    ),
    "rows that do not sum to one": (
        lambda: AttentionRecord(with_one(0.9, query=4)),
        "sum to 1, got .* query 4.*dropout",
    ),
    "columns that do": (lambda: AttentionRecord(random_weights(5, 5).T), "softmax went over the queries"),
    "a row of zeros": (
        lambda: AttentionRecord(random_weights(5, 5) * (np.arange(5) > 0)[:, None]),
        "say so in the mask",
    ),
    "weight on what is hidden": (lambda: AttentionRecord(random_weights(5, 5), mask=CAUSAL), "is it upside down"),
    "a mask to be added": (
        lambda: AttentionRecord(random_weights(5, 5), mask=np.zeros((5, 5))),
        "boolean mask.*mask == 0",
    ),
    "a mask of another size": (
        lambda: AttentionRecord(random_weights(5, 5), mask=np.ones((4, 5), dtype=bool)),
        r"broadcasts to .*\(1, 1, 5, 5\), got \(4, 5\)",
    ),
    "too few labels": (lambda: AttentionRecord(random_weights(5, 5), query_labels=WORDS[:4]), "5 query_labels.*got 4"),
    "one text as labels": (
        lambda: AttentionRecord(random_weights(5, 5), query_labels="a b c d e"),
        "list of texts, got one text",
    ),
    "a grid without its class token": (
        lambda: AttentionRecord(random_weights(5, 5), query_grid=Grid(y=2, x=2)),
        r"query_grid of 5 tokens.*4 in all.*class token.*Grid\(before=",
    ),
    "self-attention that is not square": (lambda: AttentionRecord(random_weights(4, 5)), 'pass kind="cross"'),
    "an unknown kind": (lambda: AttentionRecord(random_weights(5, 5), kind="causal"), '"self", "cross" or "gate"'),
    "sources that do not match": (lambda: AttentionRecord(random_weights(2, 1, 5, 5), source=["a"]), "2 layers, got 1"),
    "names of heads that do not match": (
        lambda: AttentionRecord(random_weights(5, 5), heads=["a", "b"]),
        "1 heads, got 2",
    ),
    "queries without keys": (lambda: AttentionRecord(random_weights(5, 5), queries=np.ones((5, 4))), "together"),
    "vectors of another length": (
        lambda: AttentionRecord(random_weights(5, 5), queries=np.ones((4, 3)), keys=np.ones((5, 3))),
        r"queries \(1, 1, 5, width\), got \(1, 1, 4, 3\)",
    ),
    "vectors of two widths": (
        lambda: AttentionRecord(random_weights(5, 5), queries=np.ones((5, 3)), keys=np.ones((5, 4))),
        "one width, got 3 and 4",
    ),
    "a gate over something else": (lambda: AttentionRecord.gate(np.ones(3), over="head"), "channel, time, space"),
    "a gate with the wrong axes": (
        lambda: AttentionRecord.gate(np.ones(3), over="space"),
        r"2 to 4 axes.*got shape \(3,\)",
    ),
    "a head that is not there": (lambda: RECORD.select(head=7), "head between 0 and 2, got 7"),
    "a word that is not there": (
        lambda: RECORD.select(query="dog"),
        "No query is called 'dog'; there are 'the', 'cat'",
    ),
    "nothing selected": (lambda: RECORD.select(key=[]), "selects no key of 5"),
    "a mean over keys": (lambda: RECORD.mean("key"), "layer or head; got"),
    "rollout of cross-attention": (
        lambda: AttentionRecord(random_weights(4, 5), kind="cross").rollout(),
        "4 queries and 5",
    ),
    "rollout of a part": (lambda: RECORD.select(query=[0, 1], key=[0, 1]).rollout(), "Call .renormalised"),
    "a temperature of zero": (lambda: RECORD.at_temperature(0), "above 0, got 0"),
    "a temperature for a gate": (lambda: GATE.at_temperature(2.0), "no softmax, so no temperature"),
    "entropy of a gate": (lambda: GATE.entropy(), "no distribution"),
    "a file of another kind": (lambda: RECORD.save("record.pkl"), 'ends in ".npz", got "record.pkl"'),
    "a view that starts outside": (lambda: heatmap(RECORD, head=3), "head between 0 and 2, got 3"),
    "a picture of another kind": (
        lambda: heatmap(RECORD).save("a.gif"),
        'ends in .png, .svg, .pdf or .html, got "a.gif"',
    ),
    "weights that need a batch item": (lambda: AttentionRecord(torch.rand(2, 1, 3, 4, 4)), "one item of the batch"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_input_gets_a_clear_error(name):
    make, message = BAD[name]
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make()


def test_there_are_at_least_twenty():
    assert len(BAD) >= 20


def test_a_file_that_is_no_record_is_refused(tmp_path):
    other = tmp_path / "other.npz"
    np.savez(other, weights=np.ones((2, 2)))
    with pytest.raises(ValueError, match='"other.npz" is no attention record'):
        AttentionRecord.load(other)


def test_a_file_with_python_objects_is_not_read(tmp_path):
    hostile = tmp_path / "hostile.npz"
    np.savez(hostile, about=np.array([{"kind": "self"}], dtype=object), weights=np.ones((2, 2)))
    with pytest.raises(ValueError, match="no attention record"):
        AttentionRecord.load(hostile)
