"""Exercise: keep the scores of order one, whatever the width."""

from functools import partial

import torch

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.dot_product import scale as reference

# Widths whose root ends in .5 to .75: a root made whole, at four times the width, is not twice the one before.
NO_SQUARES = (13, 21, 22, 31, 32, 43, 44)


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "queries", "keys", "heads")
    shape = (size["batch"], size["queries"], size["keys"])
    width = NO_SQUARES[int(torch.randint(len(NO_SQUARES), (), generator=generator))]
    scores = torch.randn(shape, generator=generator) * width**0.5
    wide_query = torch.randn(40, 256, generator=generator)
    wide_key = torch.randn(50, 256, generator=generator)
    return [
        Case("plain", (scores, width)),
        Case("four times the width", (scores, 4 * width)),
        Case("width 1", (scores, 1)),
        Case("width 256", (wide_query @ wide_key.mT, 256)),
        Case("heads", (torch.randn(size["heads"], *shape, generator=generator), width)),
        Case("no batch axis", (scores[0], width)),
        Case("float64", (scores.double(), width)),
        Case("gradients", (scores, width), gradients=True),
    ]


def variance_is_one(seen: Seen) -> str | None:
    variance = seen.output("width 256", "scaled").var().item()
    if 0.8 < variance < 1.25:  # 2,000 products of unit vectors: one, give or take a few percent
        return None
    return f"Products of random vectors of width 256 have variance {variance:.3g} after scaling; it should be about 1."


def halves_at_four_times_the_width(seen: Seen) -> str | None:
    once, four = seen.output("plain", "scaled"), seen.output("four times the width", "scaled")
    return None if close(once, 2 * four) else "At four times the width the divisor should be twice as large."


def flawed(
    scores, width, *, divisor=lambda scores, width: width**0.5, times=False, after=None, in_place=False, cut=False
):
    """Scaling with one switch for each way of getting it wrong."""
    by = divisor(scores, width)
    if in_place:
        scores /= by
        return scores
    scaled = scores * by if times else scores / by
    if after is not None:
        scaled = after(scaled)
    return scaled.detach() if cut else scaled


MISTAKES = (
    Mistake(
        "width itself",
        "it divides by the width, not by its square root.",
        "A sum of d independent terms has variance d, so its standard deviation is sqrt(d). Dividing by d makes wide\n"
        "vectors whisper: at width 256 all scores are within a few hundredths of each other.",
        "divide by width ** 0.5.",
        partial(flawed, divisor=lambda scores, width: width),
    ),
    Mistake(
        "no scale",
        "nothing is divided.",
        "The variance of the scores then grows with the width, and the softmax with it from soft to hard.",
        "divide by the square root of the width.",
        partial(flawed, divisor=lambda scores, width: 1),
    ),
    Mistake(
        "multiplied",
        "it multiplies by the root of the width.",
        "That spreads the scores further still: the variance becomes the square of the width.",
        "divide instead.",
        partial(flawed, times=True),
    ),
    Mistake(
        "number of keys",
        "it divides by the root of the number of keys.",
        "The number of keys is the last axis of the scores; the spread comes from the width of the vectors, which the\n"
        "scores no longer show. That is why width is an argument.",
        "use the argument `width`.",
        partial(flawed, divisor=lambda scores, width: scores.shape[-1] ** 0.5),
    ),
    Mistake(
        "number of queries",
        "it divides by the root of the number of queries.",
        "How many queries there are has nothing to do with how large one score is.",
        "use the argument `width`.",
        partial(flawed, divisor=lambda scores, width: scores.shape[-2] ** 0.5),
    ),
    Mistake(
        "fourth root",
        "it divides by the fourth root of the width.",
        "Some code divides query and key each by the fourth root, which together gives the square root. On the scores\n"
        "it has to be the square root at once.",
        "divide by width ** 0.5.",
        partial(flawed, divisor=lambda scores, width: width**0.25),
    ),
    Mistake(
        "logarithm",
        "it divides by one plus the logarithm of the width.",
        "The spread of a sum of d terms grows as the square root of d, much faster than the logarithm.",
        "divide by width ** 0.5.",
        partial(flawed, divisor=lambda scores, width: 1 + torch.tensor(float(width)).log().item()),
    ),
    Mistake(
        "standardised",
        "each row is divided by its own standard deviation.",
        "Then a row in which one key stands out is flattened like a row in which none does, and the scale depends on\n"
        "the other keys. The scale is a constant.",
        "divide by the same number everywhere: width ** 0.5.",
        partial(flawed, divisor=lambda scores, width: scores.std(dim=-1, keepdim=True)),
    ),
    Mistake(
        "rounded root",
        "the root is rounded to a whole number.",
        "`int(...)` or `//` cuts the root: sqrt(20) is 4.47, not 4.",
        "keep the fraction: width ** 0.5 or math.sqrt(width).",
        partial(flawed, divisor=lambda scores, width: int(width**0.5)),
    ),
    Mistake(
        "softmax already",
        "a softmax follows the division.",
        "The scaled scores are still scores; the softmax is the next step.",
        "return the quotient.",
        partial(flawed, after=lambda scaled: scaled.softmax(-1)),
    ),
    Mistake(
        "changes the scores",
        "it divides in place.",
        "`scores /= ...` writes into the caller's tensor, and fails where a gradient is wanted.",
        "write scores / ..., which makes a new tensor.",
        partial(flawed, in_place=True),
    ),
    Mistake(
        "graph is cut",
        "the result is detached from the graph.",
        "The numbers are right, but nothing before this step can learn.",
        "leave out .detach(), .data and .item().",
        partial(flawed, cut=True),
    ),
)

scale = Exercise(
    name="scale",
    title="Keep the scores of order one",
    stars=1,
    importance=5,
    minutes=5,
    answer=reference,
    returns=("scaled",),
    draw=draw,
    laws=(
        Law("right shapes", 1, "Does the shape stay?", laws.shapes_right()),
        Law("variance is one", 1, "Have scores of unit vectors variance one, at width 256?", variance_is_one),
        Law("root of the width", 1, "Does four times the width halve the scores?", halves_at_four_times_the_width),
        Law(
            "right numbers",
            1,
            "Are they the reference's?",
            laws.equals_reference("plain", "four times the width", "width 1", "heads", "no batch axis", "float64"),
        ),
        Law("gradient reaches the scores", 1, "Can it be trained through?", laws.gradients_reach("gradients")),
        Law("scores stay as they were", 1, "Does it leave its input alone?", laws.inputs_unchanged()),
    ),
    mistakes=MISTAKES,
    also_right={
        "power": lambda scores, width: scores * width**-0.5,
        "tensor root": lambda scores, width: scores / torch.sqrt(torch.tensor(float(width), dtype=scores.dtype)),
        "two fourth roots": lambda scores, width: scores / width**0.25 / width**0.25,
        "torch.div": lambda scores, width: torch.div(scores, torch.tensor(width, dtype=torch.float64).sqrt().item()),
        "float64 inside": lambda scores, width: (scores.double() / width**0.5).to(scores.dtype),
        "rsqrt": lambda scores, width: scores.mul(torch.tensor(width, dtype=scores.dtype).rsqrt()),
    },
    hints=(
        "Draw random queries and keys of width 256 and print the variance of their dot products. Print it again after "
        "your scaling. What should it be?",
        "Look at the law “root of the width”: when the width becomes four times as large, the divisor should double.",
        "One line: the scores divided by one number that depends on `width` alone.",
        "A twin on another task, the mean of n noisy readings: its error is sigma / n ** 0.5, because variances add and\n"
        "a standard deviation is the root of a variance. A dot product of width d is a sum of d such terms.",
    ),
)
