"""Exercise: self-attention as a module, with its three projections."""

from functools import partial

import torch
from torch import nn

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen, close
from attnlab.checks.shortcuts import ATTENTION
from attnlab.reference.attention import attention
from attnlab.reference.causal_mask import causal_mask
from attnlab.reference.self_attention import SelfAttention1d as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "tokens", "width", "head_width")
    b, t, w, h = size.values()
    tokens = torch.randn(b, t, w, generator=generator)
    weights = {
        f"to_{name}.weight": torch.randn(h, w, generator=generator) / w**0.5 for name in ("query", "key", "value")
    }
    later = tokens.clone()
    later[:, -1] += 1.0
    causal = {"mask": causal_mask(t)}
    order = torch.arange(t).roll(1)

    def case(name: str, x: torch.Tensor, keywords: dict | None = None, gradients: bool = False) -> Case:
        return Case(name, (x,), keywords or {}, build=(w, h), weights=weights, gradients=gradients)

    square = {name: torch.randn(w, w, generator=generator) / w**0.5 for name in weights}
    return [
        case("plain", tokens),
        case("another order", tokens[:, order]),
        case("causal", tokens, causal),
        case("the last token changed", later, causal),
        case("first item alone", tokens[:1]),
        case("no batch axis", tokens[0]),
        Case("head as wide as the tokens", (tokens,), build=(w, w), weights=square),
        case("gradients", tokens, gradients=True),
    ]


def order_does_not_matter(seen: Seen) -> str | None:
    """Shuffled tokens give the same rows, shuffled alike: the shuffle is read off the inputs."""
    before, after = seen.cases["plain"].inputs[0][0], seen.cases["another order"].inputs[0][0]
    order = [int((before == row).all(-1).nonzero()[0]) for row in after]
    if close(seen.output("another order", "output"), seen.output("plain", "output")[:, order]):
        return None
    return "The tokens were shuffled, and the outputs are not the old ones, shuffled alike."


def past_stays(seen: Seen) -> str | None:
    before, after = seen.output("causal", "output")[:, :-1], seen.output("the last token changed", "output")[:, :-1]
    return (
        None if close(after, before) else "With a causal mask the last token was changed, and an earlier output moved."
    )


def flawed_class(
    *,
    swapped=False,
    shared=None,
    identity_value=False,
    bias=False,
    power=0.5,
    scale_by="head",
    axis=-1,
    use_mask=True,
    residual=False,
    cut=False,
    out=False,
):
    """A self-attention class with one switch for each way of getting it wrong."""

    class Flawed(nn.Module):
        def __init__(self, width, head_width):
            super().__init__()
            self.to_query = nn.Linear(width, head_width, bias=bias)
            self.to_key = nn.Linear(width, head_width, bias=bias)
            self.to_value = nn.Linear(width, head_width, bias=bias)
            if out:
                self.to_output = nn.Linear(head_width, width, bias=False)

        def forward(self, tokens, mask=None):
            query, key, value = self.to_query(tokens), self.to_key(tokens), self.to_value(tokens)
            if swapped:
                query, key = key, query
            if shared == "query":
                key = query
            if shared == "key":
                value = key
            if identity_value:
                value = tokens
            width = {"head": query.shape[-1], "tokens": tokens.shape[-1]}[scale_by]
            rescue = (query.shape[-1] / width) ** 0.5 * query.shape[-1] ** (0.5 - power)
            seen = mask if use_mask else None
            if axis == -1:
                output, weights = attention(query * rescue, key, value, seen)
            else:
                scores = query @ key.mT / query.shape[-1] ** 0.5
                scores = scores if seen is None else scores.masked_fill(~seen, -torch.inf)
                weights = scores.softmax(axis)
                output = weights @ value
            if cut:
                output = output.detach()
            if residual:
                output = output + value
            return output, weights

    return Flawed


def _flawed(width, head_width, **switches):
    return flawed_class(**switches)(width, head_width)


MISTAKES = (
    Mistake(
        "query and key swapped",
        "the query comes from to_key and the key from to_query.",
        "The table of scores is then transposed: who asks and who answers have changed places. A trained model loaded\n"
        "into it looks the wrong way round.",
        "check which projection feeds which argument of attention(query, key, value).",
        partial(_flawed, swapped=True),
    ),
    Mistake(
        "key is the query",
        "one projection serves as query and as key.",
        "Then the scores are symmetric: if I look at you, you look at me as much, and everybody looks most at\n"
        "themselves.",
        "use to_key for the key.",
        partial(_flawed, shared="query"),
    ),
    Mistake(
        "value is the key",
        "the value is taken from to_key.",
        "What makes a token worth looking at (key) and what it has to say (value) are different things, and have\n"
        "different projections.",
        "use to_value for the value.",
        partial(_flawed, shared="key"),
    ),
    Mistake(
        "value not projected",
        "the tokens themselves are the values.",
        "The output then has the width of the tokens, and the layer cannot choose what to pass on.",
        "project the tokens with to_value.",
        partial(_flawed, identity_value=True),
    ),
    Mistake(
        "with bias",
        "the projections have a bias.",
        "The exercise asks for bias=False. The bias of the key could not even do anything: it adds the same number to\n"
        "all scores of a query, which the softmax cancels.",
        "write nn.Linear(width, head_width, bias=False).",
        partial(_flawed, bias=True),
    ),
    Mistake(
        "no scale",
        "the scores are not scaled.",
        "Without the division by the root of the head width the softmax is too sharp.",
        "call your attention(), which scales.",
        partial(_flawed, power=0.0),
    ),
    Mistake(
        "scale by token width",
        "the scores are divided by the root of the token width.",
        "The dot product runs over the projected vectors, which are head_width wide.",
        "scale by the width of the query, query.shape[-1].",
        partial(_flawed, scale_by="tokens"),
    ),
    Mistake(
        "softmax over queries",
        "the softmax runs over the queries.",
        "Then each column of weights sums to one, not each row. In self-attention both axes are as long, so no shape\n"
        "gives it away.",
        "normalise over the last axis.",
        partial(_flawed, axis=-2),
    ),
    Mistake(
        "mask not passed on",
        "the mask is taken and never used.",
        "forward(tokens, mask) must hand it to attention, or a causal model sees the future.",
        "call attention(query, key, value, mask).",
        partial(_flawed, use_mask=False),
    ),
    Mistake(
        "adds the value",
        "each token's own value is added to the output.",
        "A residual connection belongs around the layer, where lesson 09 puts it, not into it.",
        "return what attention returns.",
        partial(_flawed, residual=True),
    ),
    Mistake(
        "graph is cut",
        "the output is detached from the graph.",
        "The numbers are right, but none of the three projections can learn.",
        "leave out .detach(), .data and no_grad().",
        partial(_flawed, cut=True),
    ),
    Mistake(
        "output projection",
        "there is a fourth layer, an output projection.",
        "With one head it could be merged into to_value; it comes in lesson 08, where it lets heads talk to each other.",
        "keep to three projections.",
        partial(_flawed, out=True),
    ),
)


class _Fused(nn.Module):
    """One product for all three projections."""

    def __init__(self, width, head_width):
        super().__init__()
        self.to_query, self.to_key, self.to_value = (nn.Linear(width, head_width, bias=False) for _ in range(3))

    def forward(self, tokens, mask=None):
        layers = (self.to_query, self.to_key, self.to_value)
        query, key, value = (tokens @ torch.cat([layer.weight for layer in layers]).mT).chunk(3, dim=-1)
        return attention(query, key, value, mask)


class _ByHand(_Fused):
    def forward(self, tokens, mask=None):
        scores = torch.einsum("...qd,...kd->...qk", self.to_query(tokens), self.to_key(tokens))
        scores = scores * self.to_query.out_features**-0.5
        if mask is not None:
            scores = torch.where(mask, scores, -torch.inf)
        weights = torch.softmax(scores, dim=-1)
        return torch.einsum("...qk,...kd->...qd", weights, self.to_value(tokens)), weights


class _Bilinear(_Fused):
    """Scores as one bilinear form x W_q^T W_k x, and the values projected last."""

    def forward(self, tokens, mask=None):
        form = self.to_query.weight.mT @ self.to_key.weight / self.to_query.out_features**0.5
        scores = tokens @ form @ tokens.mT
        if mask is not None:
            scores = scores + torch.log(mask.to(scores.dtype))
        weights = scores.softmax(-1)
        return self.to_value(weights @ tokens), weights


class _Library(_Fused):
    def forward(self, tokens, mask=None):
        query, key = self.to_query(tokens), self.to_key(tokens)
        eye = torch.eye(tokens.shape[-2], dtype=tokens.dtype).expand(*tokens.shape[:-1], tokens.shape[-2])
        weights = nn.functional.scaled_dot_product_attention(query, key, eye, mask)
        return weights @ self.to_value(tokens), weights


class _ScaledQuery(_Fused):
    def forward(self, tokens, mask=None):
        query = self.to_query(tokens) / self.to_query.weight.shape[0] ** 0.5
        scores = query.matmul(self.to_key(tokens).transpose(-1, -2))
        if mask is not None:
            scores = scores.masked_fill(mask.logical_not(), torch.finfo(scores.dtype).min)
        weights = torch.exp(torch.log_softmax(scores, dim=-1))
        return weights.matmul(self.to_value(tokens)), weights


SelfAttention1d = Exercise(
    name="SelfAttention1d",
    title="Self-attention as a layer",
    stars=3,
    importance=5,
    minutes=12,
    answer=reference,
    returns=("output", "weights"),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law(
            "rows sum to one",
            1,
            "Do the weights of each token sum to one?",
            laws.sums_to_one("plain", "causal", of="weights"),
        ),
        Law(
            "right numbers",
            2,
            "With the reference's parameters loaded, are the numbers the reference's?",
            laws.equals_reference("plain", "no batch axis", "head as wide as the tokens"),
        ),
        Law("order does not matter", 1, "Do shuffled tokens give shuffled outputs?", order_does_not_matter),
        Law("past stays", 2, "With a causal mask, is the past untouched by the future?", past_stays),
        laws.ITEMS_APART,
        Law("gradient reaches every weight", 2, "Do all three projections learn?", laws.gradients_reach("gradients")),
    ),
    mistakes=MISTAKES,
    shortcuts=ATTENTION,
    also_right={
        "one fused product": _Fused,
        "by hand": _ByHand,
        "bilinear form": _Bilinear,
        "torch's own": _Library,
        "scaled query": _ScaledQuery,
    },
    hints=(
        "Build it with width 4 and head_width 3 and list its parameters: which names and shapes do you see, and which "
        "does the text ask for?",
        "Look at the first law that fails. “Order does not matter” and “past stays” need no numbers: they say whether "
        "tokens meet each other only through attention, and whether the mask arrives.",
        "forward has two lines: project the tokens three times, then call attention with query, key, value and the mask.",
        "A twin on another task, a layer that compares pictures with captions:\n"
        "    def forward(self, pictures, captions):\n"
        "        return match(self.to_query(captions), self.to_key(pictures), self.to_value(pictures))\n"
        "In self-attention all three come from the same tokens.",
    ),
)
