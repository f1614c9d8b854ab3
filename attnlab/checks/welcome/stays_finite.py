"""Exercise, a bug hunt: a law that tells a softmax which survives large scores from one which does not.

The bug is real, twice. The naive exp(scores) / sum: deeplearning4j/deeplearning4j, issue 6039 (2018).
The repair that subtracts max(0, maximum) and fails below zero: FluxML/NNlib.jl, pull request 43 (2018).
"""

from collections.abc import Callable
from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake
from attnlab.checks.laws import Law, Question, Seen
from attnlab.checks.welcome.implementations import RIGHT, wrong


def reference(softmax: Callable[..., torch.Tensor]) -> bool:
    """Two rows whose weights are known without computing, far from zero, far apart, at two temperatures.

    NaN is close to nothing, so it fails too.
    """
    scores = torch.tensor([[10_000.0, 10_000.0, 0.0], [-10_000.0, -5_000.0, -5_000.0]])
    known = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    return all(torch.allclose(softmax(scores, temperature), known) for temperature in (1.0, 0.1))


def draw(generator: torch.Generator) -> list[Case]:
    """The wrong ones first, the subtlest at the head: they part the mistakes soonest."""
    limit = 20 + 20 * torch.rand((), generator=generator).item()
    return [Case(name, (softmax,)) for name, softmax in (wrong(limit) | RIGHT).items()]


def passes(*names: str) -> Question:
    """The learner's law says True to these."""
    return _judged(names, True, "is right, however large the scores, and your law says False to it.")


def exposes(*names: str) -> Question:
    """The learner's law says False to these."""
    return _judged(names, False, "does not survive, and your law says True to it.")


def _judged(names: tuple[str, ...], verdict: bool, sentence: str) -> Question:
    def holds(seen: Seen) -> str | None:
        for name in names:
            if bool(seen.output(name, "output")) != verdict:
                return f"The implementation “{name}” {sentence}"
        return None

    return holds


LAWS = (
    Law(
        "answers True or False",
        1,
        "Is the answer True or False for every implementation?",
        laws.shapes_right(),
    ),
    Law("passes what is right", 2, "Does it say True to five right ones, written differently?", passes(*RIGHT)),
    Law(
        "exposes overflow",
        2,
        "Does it say False where exp() overflows?",
        exposes(
            "nothing subtracted",
            "nothing subtracted, in float16",
            "nothing subtracted, in float64",
            "first score subtracted",
        ),
    ),
    Law(
        "exposes underflow",
        2,
        "Does it say False where large negative scores give 0/0?",
        exposes("maximum or zero subtracted", "largest size subtracted"),
    ),
    Law(
        "exposes rows that disturb each other",
        1,
        "Does it say False where a large row ruins a small one?",
        exposes("maximum of all rows subtracted"),
    ),
    Law(
        "exposes a low temperature",
        1,
        "Does it say False where only a low temperature overflows?",
        exposes("maximum before the temperature"),
    ),
    Law(
        "exposes hidden damage",
        2,
        "Does it say False where all is finite, and still wrong?",
        exposes("scores clamped", "NaN turned into zero", "logarithm of the sum"),
    ),
)


def flawed(
    softmax,
    *,
    size=10_000.0,
    spread=500.0,
    signs=(1, -1),
    rows="apart",
    temperatures=(1.0, 0.1),
    asks="unmoved",
    answers="bool",
):
    """A law with one switch for each way of asking too little or too much; with none set it is right."""
    scores = torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, spread]])
    large = torch.tensor([[size], [-size if rows == "apart" else size]])
    rows_tried = [0, 1] if rows == "one by one" else [slice(None)]
    held = [
        QUESTIONS[asks](softmax((scores + sign * large)[row], temperature), softmax(scores[row], temperature))
        for sign in signs
        for temperature in temperatures
        for row in rows_tried
    ]
    return ANSWERS[answers](held)


def _assert_all(held):
    assert all(held)
    return True


QUESTIONS = {
    "unmoved": lambda got, small: torch.allclose(got, small, atol=1e-3),
    "finite": lambda got, small: bool(got.isfinite().all()),
    "some finite": lambda got, small: bool(got.isfinite().any()),
    "no NaN": lambda got, small: not got.isnan().any(),
    "no infinity": lambda got, small: not got.isinf().any(),
    "sums": lambda got, small: torch.allclose(got.sum(-1), torch.ones(())),
    "all positive": lambda got, small: bool((got > 0).all()),
}
ANSWERS = {
    "bool": all,
    "turned": lambda held: not all(held),
    "always": lambda held: True,
    "never": lambda held: False,
    "tensor": lambda held: torch.tensor(held),
    "assert": _assert_all,
}

MISTAKES = (
    Mistake(
        "always True",
        "your law says True to everything.",
        "It asks nothing that the bug gets wrong: only the shape, say, or scores of ordinary size. A law "
        "that "
        "nothing can break is no law.",
        "call softmax with scores of several thousand and look at the weights.",
        partial(flawed, answers="always"),
    ),
    Mistake(
        "always False",
        "your law says False to everything.",
        "It asks what even a right softmax does not do: sums equal to 1.0 in the last digit, say, or an "
        "answer to "
        "a score of inf. Rounding leaves 0.99999994.",
        "compare with torch.allclose, and keep to finite scores.",
        partial(flawed, answers="never"),
    ),
    Mistake(
        "upside down",
        "True and False have changed places.",
        "The law says True when the softmax survives.",
        "put a `not` in front, or return the other one.",
        partial(flawed, answers="turned"),
    ),
    Mistake(
        "scores not large enough",
        "the scores that you try go up to a few dozen.",
        "float32 holds exp(88). Only the one in float16 falls at yours.",
        "try scores of 10,000, of both signs.",
        partial(flawed, size=18.0, spread=5.0, temperatures=(1.0,)),
    ),
    Mistake(
        "large for float32 only",
        "the scores that you try are too large for float32, but not for float64.",
        "exp(709) still fits into float64, and whoever computes in it hides the bug until the scores grow further.",
        "try scores of 10,000.",
        partial(flawed, size=200.0, spread=100.0, temperatures=(1.0,)),
    ),
    Mistake(
        "only positive scores",
        "you try only large positive scores.",
        "exp(-10000) is 0, for every score of the row, and 0/0 is NaN as well. This happened in NNlib.jl, "
        "after the "
        "overflow had been repaired.",
        "try the same scores with a minus in front.",
        partial(flawed, signs=(1,), rows="together"),
    ),
    Mistake(
        "scores close together",
        "the scores of one row all lie close together.",
        "Whoever subtracts the first score of a row, not its largest, survives that. It overflows where a "
        "later score "
        "is far ahead.",
        "try a row such as [0, 1, 500] too.",
        partial(flawed, spread=2.0),
    ),
    Mistake(
        "one large row, finite or not",
        "you try large positive scores once, and ask whether the weights are finite.",
        "That finds the naive softmax. It misses the repairs that fail below zero, between rows, at a low "
        "temperature, "
        "and those that give finite weights that are wrong.",
        "first try the same scores with a minus; then ask whether the weights are the right ones.",
        partial(flawed, signs=(1,), rows="together", temperatures=(1.0,), asks="finite"),
    ),
    Mistake(
        "up and down, finite or not",
        "you try large scores of both signs, and ask whether the weights are finite.",
        "It misses rows that disturb each other, a low temperature, and finite weights that are wrong.",
        "compare with weights that you know: two scores alike, the third far below, give 0.5, 0.5 and 0.",
        partial(flawed, rows="together", temperatures=(1.0,), asks="finite"),
    ),
    Mistake(
        "one row at a time",
        "you try one row at a time, or rows that are all alike.",
        "Whoever subtracts the maximum of the whole tensor is right for one row. Two rows far apart show it.",
        "try two rows at once, one around 10,000 and one around -10,000.",
        partial(flawed, rows="one by one"),
    ),
    Mistake(
        "temperature never tried",
        "you never try another temperature than 1.",
        "At temperature 0.1 the scores are ten times as large, and a maximum taken before the division is too small.",
        "try softmax(scores, 0.1) too.",
        partial(flawed, temperatures=(1.0,)),
    ),
    Mistake(
        "only finite",
        "you ask only whether the weights are finite.",
        "Clamped scores and NaN turned into zero are finite, and wrong.",
        "compare with weights that you know: two scores alike, the third far below, give 0.5, 0.5 and 0.",
        partial(flawed, asks="finite"),
    ),
    Mistake(
        "only NaN",
        "you ask only whether there is a NaN.",
        "One of the implementations gives infinity, and others give finite numbers that are wrong.",
        "compare the weights with what they should be; NaN and infinity then fail by themselves.",
        partial(flawed, asks="no NaN"),
    ),
    Mistake(
        "only infinity",
        "you ask only whether there is an infinity.",
        "The infinity arises inside. What comes out is inf/inf, and that is NaN.",
        "ask with isfinite(), or compare with the right weights.",
        partial(flawed, asks="no infinity"),
    ),
    Mistake(
        "only sums",
        "you ask only whether the rows sum to one.",
        "A clamped softmax gives equal weights to scores that differ: they sum to one, and are wrong.",
        "compare the weights themselves with some that you know: two scores alike have weights alike.",
        partial(flawed, asks="sums"),
    ),
    Mistake(
        "some weight finite",
        "you ask whether any weight is finite, not whether all are.",
        "One finite weight among NaN is enough for `any`.",
        "use .all().",
        partial(flawed, asks="some finite"),
    ),
    Mistake(
        "positive weights",
        "you ask for weights above zero.",
        "The weight of a score 500 below the best is exp(-500), which float32 rounds to 0: a right softmax "
        "gives zeros.",
        "allow zero, and ask whether the weights are the right ones.",
        partial(flawed, asks="all positive"),
    ),
    Mistake(
        "raises instead of answering",
        "where the softmax does not survive, your law raises an error.",
        "assert stops the program. A law is asked many times and has to answer each time.",
        "return the condition itself instead of asserting it.",
        partial(flawed, answers="assert"),
    ),
    Mistake(
        "many answers",
        "what you return is a tensor of several answers.",
        "isfinite() answers for each weight. The law has to give one answer.",
        "add .all(), and turn it with bool().",
        partial(flawed, answers="tensor"),
    ),
)


def _against_torch(softmax):
    scores = torch.tensor([[9000.0, 9001.0, 9003.0], [-9000.0, -9001.0, -9003.0], [5.0, 600.0, -700.0]])
    for temperature in (0.1, 1.0, 5.0):
        weights = softmax(scores, temperature)
        if not torch.allclose(weights, torch.softmax(scores / temperature, -1), atol=1e-4):
            return False
    return True


def _constant_cancels(softmax):
    """Adding a constant to a row changes no weight, however large the constant."""
    scores = torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 500.0]])
    large = torch.tensor([[10_000.0], [-10_000.0]])
    for shift in (large, -large):
        for temperature in (1.0, 0.1):
            if not torch.allclose(softmax(scores + shift, temperature), softmax(scores, temperature), atol=1e-3):
                return False
    return True


def _finite_and_known(softmax):
    """Weights of which one knows what they are: equal scores, and one that is far ahead."""
    scores = torch.tensor([[8e3, 8e3, 0.0], [-8e3, -8e3, -9e3], [0.0, 7e3, 0.0], [8e3, 8.1e3, 8e3]])
    known = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    return all((softmax(scores, t) - known).abs().max() < 1e-3 for t in (1.0, 0.2))


def _finite_sum_and_order(softmax):
    scores = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 800.0]]) + torch.tensor([[5000.0], [-5000.0]])
    good = True
    for trial in (scores, scores.flip(0), -scores):
        weights = softmax(trial, 0.25) if trial is scores else softmax(trial)
        good = good and weights.isfinite().all() and ((weights.sum(-1) - 1).abs() < 1e-3).all()
        good = good and (weights.argmax(-1) == trial.argmax(-1)).all() and weights[0].std() > 0.1
    return bool(good)


def _tensor_verdict(softmax):
    small = torch.linspace(-2, 2, 5).expand(2, 5)
    moved = small + torch.tensor([[4096.0], [-4096.0]])
    wide = small * 1000
    close = [
        (softmax(m, t) - softmax(small, t)).abs().max() < 0.01 for m in (moved, -moved.flip(-1)) for t in (1.0, 0.125)
    ]
    close.append((softmax(wide)[..., -1] - 1).abs().max() < 1e-5)
    return torch.stack(close).all()


def _random_scores(softmax):
    generator = torch.Generator().manual_seed(1)
    for size in (1.0, 100.0, 10_000.0):
        rows = torch.randn(6, 4, generator=generator) + size * torch.tensor([1.0, -1.0, 0.5, -0.5, 0.0, 1.0])[:, None]
        spread = torch.randn(6, 4, generator=generator) * size
        for scores in (rows, spread):
            for temperature in (1.0, 0.3):
                weights = softmax(scores, temperature).double()
                exact = torch.softmax(scores.double() / temperature, -1)
                if not (weights - exact).abs().max() < 0.02:
                    return False
    return True


stays_finite = Exercise(
    name="stays_finite",
    title="Bug hunt: the softmax that drowned",
    stars=3,
    importance=4,
    minutes=8,
    answer=reference,
    hunt=True,
    draw=draw,
    laws=LAWS,
    mistakes=MISTAKES,
    also_right={
        "against torch's own": _against_torch,
        "a constant cancels": _constant_cancels,
        "other known weights": _finite_and_known,
        "finite, sum, order": _finite_sum_and_order,
        "a tensor for an answer": _tensor_verdict,
        "random scores against float64": _random_scores,
    },
    hints=(
        "Write the naive softmax in a spare cell and call it with [[10000.0, 10001.0]]. What comes out, "
        "and with a minus "
        "in front?",
        "The panel names an implementation that your law judges wrongly. Which scores would show what is "
        "wrong with it: "
        "larger ones, negative ones, two rows far apart, a low temperature?",
        "The line that compares decides. Two scores alike, the third far below: their weights are 0.5, 0.5 "
        "and 0. "
        "Compare with `torch.allclose`: NaN is close to nothing.",
        "A twin on another task, a law for a standard deviation (with n under the line):\n"
        "    def stays_exact(deviation):\n"
        "        numbers = torch.tensor([[8191.0, 8193.0], [-8193.0, -8191.0]])\n"
        "        known = torch.tensor([1.0, 1.0])\n"
        "        return torch.allclose(deviation(numbers), known)\n"
        "Yours needs a row below zero in which the first score is not the largest, and two "
        "temperatures.",
    ),
)
