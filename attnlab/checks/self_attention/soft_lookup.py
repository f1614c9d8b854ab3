"""Stretch: a dictionary whose keys need not match exactly."""

from functools import partial

import torch
import torch.nn.functional as F

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen, close
from attnlab.checks.shortcuts import ATTENTION
from attnlab.reference.soft_dictionary import soft_lookup as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "queries", "keys", "width", "features")
    size["keys"] = size["keys"] if size["keys"] > 2 else 10  # the cold look-up asks for two, others must be there
    b, q, k = size["batch"], size["queries"], size["keys"]
    query = torch.randn(b, q, size["width"], generator=generator)
    key = torch.randn(b, k, size["width"], generator=generator)
    value = torch.randn(b, k, size["features"], generator=generator)
    louder = key.clone()
    louder[:, 0] *= 5.0
    apart = distinct_directions(b, k, size["width"], generator)
    return [
        Case("plain", (query, key, value, 0.7)),
        Case("a louder key", (query, louder, value, 0.7)),
        Case("cold", (apart[:, :2], apart, value, 0.002)),
        Case("hot", (query, key, value, 1e4)),
        Case("first item alone", (query[:1], key[:1], value[:1], 0.7)),
        Case("no batch axis", (query[0], key[0], value[0], 0.3)),
        Case("gradients", (query, key, value, 0.7), gradients=True),
    ]


def distinct_directions(batch: int, keys: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """Keys (batch, keys, width) of random lengths, no two nearly parallel: those even a cold look-up would mix.

    They stand half a radian apart on an arc, in random order, in a random plane. The first is short and all others
    are long, so that its neighbours would drown it if lengths counted.
    """
    angles = torch.arange(keys) * 0.5
    arc = torch.zeros(keys, width)
    arc[:, 0], arc[:, 1] = angles.cos(), angles.sin()
    turned = torch.linalg.qr(torch.randn(batch, width, width, generator=generator)).Q
    order = torch.randperm(keys, generator=generator)
    lengths = 3.0 + torch.rand(batch, keys, 1, generator=generator)
    lengths[:, 0] /= 6.0
    return lengths * (arc[order] @ turned)


def cold_is_a_dictionary(seen: Seen) -> str | None:
    found, wanted = seen.output("cold", "output"), seen.cases["cold"].inputs[2][:, :2]
    return None if close(found, wanted) else "At temperature 0.002, a key that is there should bring exactly its value."


def hot_is_the_mean(seen: Seen) -> str | None:
    found = seen.output("hot", "output")
    mean = seen.cases["hot"].inputs[2].mean(-2, keepdim=True).expand_as(found)
    return (
        None
        if (found - mean).abs().max() < 1e-3
        else "At temperature 10,000 every answer should be the mean of all values."
    )


def loudness_does_not_matter(seen: Seen) -> str | None:
    before, after = seen.output("plain", "weights"), seen.output("a louder key", "weights")
    return (
        None
        if close(before, after)
        else "A key was made five times as long; its direction is the same, but the weights moved."
    )


def flawed(query, key, value, temperature, *, unit=("query", "key"), unit_axis=-1, how="over", axis=-1, power=0.0, hard=False,
           mix="value"):  # fmt: skip
    """A soft look-up with one switch for each way of getting it wrong."""
    query = F.normalize(query, dim=unit_axis) if "query" in unit else query
    key = F.normalize(key, dim=unit_axis) if "key" in unit else key
    scores = query @ key.mT / query.shape[-1] ** power
    scores = {"over": scores / temperature, "times": scores * temperature, "not at all": scores}[
        how if how != "after" else "not at all"
    ]
    weights = scores.softmax(axis)
    weights = weights / temperature if how == "after" else weights
    if hard:
        weights = F.one_hot(scores.argmax(-1), scores.shape[-1]).to(value.dtype)
    return weights @ (value if mix == "value" else key), weights


MISTAKES = (
    Mistake(
        "nothing normalised",
        "neither query nor key is brought to length one.",
        "A long key then wins by being loud, not by pointing the right way.",
        "normalise both along the last axis.",
        partial(flawed, unit=()),
    ),
    Mistake(
        "only the query normalised",
        "the keys keep their lengths.",
        "The length of the query is the same for all keys and only sharpens; the lengths of the keys decide who wins.",
        "normalise the key too.",
        partial(flawed, unit=("query",)),
    ),
    Mistake(
        "only the key normalised",
        "the query keeps its length.",
        "A long query then acts as a low temperature, so how sharp a look-up is depends on who asks.",
        "normalise the query too.",
        partial(flawed, unit=("key",)),
    ),
    Mistake(
        "normalised over tokens",
        "the vectors are normalised along the wrong axis.",
        "Length is taken over the width, the last axis. Along the tokens, features are made comparable, not vectors.",
        "normalise with dim=-1.",
        partial(flawed, unit_axis=-2),
    ),
    Mistake(
        "temperature multiplies",
        "the scores are multiplied by the temperature.",
        "Cold must be sharp: dividing by a small number makes the differences large.",
        "divide by the temperature.",
        partial(flawed, how="times"),
    ),
    Mistake(
        "temperature ignored",
        "the temperature is not used.",
        "Cosines lie between -1 and 1, so without it no look-up is ever sharp.",
        "divide the similarities by the temperature.",
        partial(flawed, how="not at all"),
    ),
    Mistake(
        "temperature after softmax",
        "the weights are divided by the temperature.",
        "Then the rows no longer sum to one, and the shape of the weights does not change.",
        "divide the scores, before the softmax.",
        partial(flawed, how="after"),
    ),
    Mistake(
        "softmax over queries",
        "the softmax runs over the queries.",
        "Every question gets its own answer; questions do not compete.",
        "normalise over the keys, the last axis.",
        partial(flawed, axis=-2),
    ),
    Mistake(
        "hard look-up",
        "it returns the value of the best key alone.",
        "That is the limit of temperature zero. It has no gradient, and no answer in between.",
        "weigh all values with a softmax.",
        partial(flawed, hard=True),
    ),
    Mistake(
        "scaled too",
        "the cosines are divided by the root of the width as well.",
        "The scale makes up for the growth of dot products with the width. Cosines do not grow.",
        "leave the scale out; the temperature is enough.",
        partial(flawed, power=0.5),
    ),
    Mistake(
        "finds the keys",
        "it averages the keys.",
        "A dictionary returns values.",
        "multiply the weights with the value.",
        partial(flawed, mix="key"),
    ),
)

soft_lookup = Exercise(
    name="soft_lookup",
    title="A soft dictionary",
    stars=2,
    importance=2,
    minutes=10,
    stretch=True,
    answer=reference,
    returns=("output", "weights"),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law("rows sum to one", 1, "Do the weights of each query sum to one?", laws.sums_to_one("plain", of="weights")),
        Law(
            "right numbers",
            1,
            "Are they the reference's?",
            laws.equals_reference("plain", "no batch axis", "a louder key"),
        ),
        Law("cold is a dictionary", 1, "Does a cold look-up find the exact key?", cold_is_a_dictionary),
        Law("hot is the mean", 1, "Does a hot look-up give the mean?", hot_is_the_mean),
        Law("loudness does not matter", 1, "Does only the direction of a key count?", loudness_does_not_matter),
        laws.ITEMS_APART,
        laws.GRADIENT,
    ),
    mistakes=MISTAKES,
    shortcuts=ATTENTION,
    also_right={
        "cosine_similarity": lambda query, key, value, temperature: (lambda w: (w @ value, w))(
            (F.cosine_similarity(query.unsqueeze(-2), key.unsqueeze(-3), dim=-1) / temperature).softmax(-1)
        ),
        "divided by norms": lambda query, key, value, temperature: (lambda w: (w @ value, w))(
            (
                query @ key.mT / (query.norm(dim=-1).unsqueeze(-1) * key.norm(dim=-1).unsqueeze(-2)) / temperature
            ).softmax(-1)
        ),
        "einsum": lambda query, key, value, temperature: (lambda w: (torch.einsum("...qk,...kf->...qf", w, value), w))(
            torch.einsum("...qd,...kd->...qk", F.normalize(query, dim=-1), F.normalize(key, dim=-1))
            .div(temperature)
            .softmax(-1)
        ),
        "float64 inside": lambda query, key, value, temperature: tuple(
            x.to(value.dtype) for x in reference(query.double(), key.double(), value.double(), temperature)
        ),
        "library": lambda query, key, value, temperature: (
            F.scaled_dot_product_attention(
                F.normalize(query, dim=-1), F.normalize(key, dim=-1), value, scale=1 / temperature
            ),
            (F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).mT / temperature).softmax(-1),
        ),
    },
    hints=(
        "Look up a key that is in the dictionary, at temperature 0.01. Does exactly its value come back? And if that key is "
        "five times as long?",
        "“Loudness does not matter” fails when lengths are still in the scores; “cold” and “hot” fail when the temperature is "
        "on the wrong side of the softmax or of the fraction.",
        "The scores are cosines: normalise query and key along dim=-1 first. Then divide by the temperature, then softmax.",
        "A twin on another task, tasting wines by their profile:\n"
        "    alike = F.normalize(glass, dim=-1) @ F.normalize(cellar, dim=-1).mT\n"
        "    guess = (alike / boldness).softmax(dim=-1) @ names",
    ),
)
