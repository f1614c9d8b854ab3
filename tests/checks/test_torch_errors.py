"""torch's messages are followed by what they usually mean; each row of the table is met by a real error."""

import pytest
import torch

from attnlab.checks import evaluate
from attnlab.checks.torch_errors import ARGUMENTS, AXES, IN_PLACE, LINE_UP, PRODUCT, usual_meaning

x = torch.randn(2, 3, 4)
leaf = torch.randn(3, requires_grad=True)


@pytest.mark.parametrize(
    ("mistake", "meaning"),
    [
        (lambda: x - x.max(dim=-1), "`amax` returns the values alone"),
        (lambda: x.clone().fill_diagonal_(0.0), "`masked_fill` with `torch.eye` can"),
        (lambda: leaf.add_(1.0), IN_PLACE),
        (lambda: torch.randn(2, 3) @ torch.randn(2, 3), PRODUCT),
        (lambda: x @ x, PRODUCT),
        (lambda: x / x.sum(dim=-1), LINE_UP),
        (lambda: torch.einsum("qd,kd->qk", x, x), AXES),
        (lambda: x.sum(dim=5), AXES),
        (lambda: x @ x.double().mT, "two dtypes meet"),
        (lambda: (lambda query: query)(1, 2), ARGUMENTS),
    ],
)
def test_a_real_error_has_its_meaning(mistake, meaning):
    with pytest.raises((RuntimeError, TypeError, IndexError)) as error:
        mistake()
    assert meaning in (usual_meaning(str(error.value)) or f"nothing for: {error.value}")


def test_an_unknown_error_has_none():
    assert usual_meaning("something else went wrong") is None


def test_the_report_tells_it():
    report = evaluate("self_attention.attention", lambda query, key, value, mask=None: query @ key)
    assert f"Usually: {PRODUCT}" in report.message


def test_results_in_the_other_order_are_named():
    from attnlab.reference.attention import attention

    report = evaluate("self_attention.attention", lambda *inputs, **masks: attention(*inputs, **masks)[::-1])
    assert "The outputs have changed places: return (output, weights), in this order." in report.message
