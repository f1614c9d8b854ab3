"""The description says what is in the record, and nothing else."""

import numpy as np

from attnlab.viz import AttentionRecord, Grid, analysis
from tests.viz.records import WORDS, random_record, random_weights


def told(weights, **fields):
    return AttentionRecord(weights, query_labels=WORDS[: len(weights)], **fields).describe()


def test_strongest_links_come_with_their_weights():
    text = told(0.9 * np.roll(np.eye(5), 1, axis=1) + 0.02)
    assert '"the" to "cat" (0.92)' in text


def test_a_head_that_looks_at_the_token_before_is_named():
    assert "mostly on the token before" in told(0.9 * np.eye(5, k=-1) + 0.02 + np.diag([0.9, 0, 0, 0, 0]))


def test_a_uniform_head_chooses_nothing():
    text = told(np.full((5, 5), 0.2))
    assert "nearly uniform" in text and "It is uniform, so it chooses nothing." in text


def test_a_head_that_rests_on_one_key_chooses_nothing():
    weights = np.full((5, 5), 0.01)
    weights[:, 3] = 0.96
    assert 'It is all on "on", so it chooses nothing.' in told(weights)


def test_heads_are_listed_with_their_layer():
    weights = random_weights(2, 2, 5, 5)
    weights[1, 0] = 0.2
    assert "Head 1.0 is uniform, so it chooses nothing." in AttentionRecord(weights).describe()


def test_symmetry_is_measured():
    table = np.array([[0.6, 0.3, 0.1], [0.3, 0.5, 0.2], [0.1, 0.2, 0.7]])
    assert "is symmetric (correlation with the mirror image 1.00)" in told(table)


def test_distance_on_a_grid_is_measured_in_the_grid():
    grid = Grid(y=2, x=2, before=("[CLS]",))
    weights = np.zeros((5, 5))
    weights[:, 0], weights[1, :] = 1, [0, 0, 0, 0, 1]  # one patch looks along the diagonal, the rest at the class token
    assert "looks 1.4 tokens away" in AttentionRecord(weights, query_grid=grid).describe()


def test_a_gate_that_treats_all_alike_is_called_so():
    assert "chooses nothing" in AttentionRecord.gate(np.full((3, 8), 0.5)).describe()
    text = AttentionRecord.gate(np.array([[0.05, 0.95], [0.05, 0.95]]), labels=["fur", "sky"]).describe()
    assert 'Widest open: "sky" (0.95); most closed: "fur" (0.05).' in text and "50% are nearly closed" in text


def test_the_table_has_the_strongest_links_and_no_column_of_one_value():
    table = random_record(layers=1).to_table(4)
    assert list(table) == ["head", "query", "key", "weight"]
    assert len(table["weight"]) == 4
    assert list(AttentionRecord.gate(np.random.rand(2, 3)).to_table()) == ["input", "channel", "gate"]


def test_symmetry_is_the_correlation_that_numpy_computes():
    tables = random_weights(2, 3, 7, 7)
    off = ~np.eye(7, dtype=bool)
    expected = [[np.corrcoef(table[off], table.T[off])[0, 1] for table in layer] for layer in tables]
    assert np.allclose(analysis.symmetry(tables), expected, atol=1e-6)
    assert analysis.symmetry(np.full((448, 448), 1 / 448, dtype=np.float32)) == 1
