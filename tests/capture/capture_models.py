"""Models as learners and libraries write them, small and with random weights."""

import torch
from torch import nn
from torch.nn import functional as F


class OwnSoftmax(nn.Module):
    """exp over its sum, two heads, an additive mask."""

    def __init__(self, width=8, heads=2):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, tokens, mask=None):
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(tokens).chunk(3, -1)
        )
        scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores + torch.where(mask, 0.0, -1e9)
        powers = torch.exp(scores - scores.max(dim=-1, keepdim=True).values)
        self.weights = powers / powers.sum(dim=-1, keepdim=True)
        return self.out((self.weights @ value).transpose(1, 2).flatten(2))


class DotProduct(nn.Module):
    """A module of its own for the mixing, as in the annotated Transformer: projections are the caller's."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value):
        self.weights = torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, dim=-1)
        return torch.matmul(self.dropout(self.weights), value)


class TwoSequences(nn.Module):
    def __init__(self, width=8, dropout=0.0):
        super().__init__()
        self.to_query, self.to_key, self.to_value = (nn.Linear(width, width) for _ in range(3))
        self.attend = DotProduct(dropout)

    def forward(self, mine, other):
        return self.attend(self.to_query(mine), self.to_key(other), self.to_value(other))


class Fused(nn.Module):
    """F.scaled_dot_product_attention with whatever is asked of it."""

    def __init__(self, width=8, heads=4, key_heads=4, **options):
        super().__init__()
        self.heads, self.key_heads, self.options = heads, key_heads, options
        self.to_query = nn.Linear(width, heads * 4)
        self.to_key, self.to_value = nn.Linear(width, key_heads * 4), nn.Linear(width, key_heads * 4)

    def split(self, x, heads):
        return x.unflatten(-1, (heads, 4)).transpose(1, 2)

    def forward(self, tokens, mask=None):
        query = self.split(self.to_query(tokens), self.heads)
        key, value = (self.split(to(tokens), self.key_heads) for to in (self.to_key, self.to_value))
        mixed = F.scaled_dot_product_attention(query, key, value, mask, **self.options)
        return mixed.transpose(1, 2).flatten(2)


class Additive(nn.Module):
    """Bahdanau's decoder: one query a step. `form` is how the weighted sum is written."""

    def __init__(self, form, width=8, steps=4):
        super().__init__()
        self.form, self.steps = form, steps
        self.encoder, self.cell = nn.GRU(width, width, batch_first=True), nn.GRUCell(width, width)
        self.to_query, self.to_key, self.score = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 1)

    def mix(self, weights, values):
        if self.form == "bmm":
            return torch.bmm(weights.unsqueeze(1), values).squeeze(1)
        if self.form == "einsum":
            return torch.einsum("bk,bkd->bd", weights, values)
        return (weights.unsqueeze(-1) * values).sum(dim=1)

    def forward(self, tokens):
        values, _ = self.encoder(tokens)
        state, states, self.weights = values[:, -1], [], []
        for _ in range(self.steps):
            scores = self.score(torch.tanh(self.to_query(state)[:, None] + self.to_key(values))).squeeze(-1)
            self.weights.append(F.softmax(scores, dim=1))
            state = self.cell(self.mix(self.weights[-1], values), state)
            states.append(state)
        return torch.stack(states, dim=1)


class ImageSelfAttention(nn.Module):
    """Attention over places by 1 x 1 convolutions, the table on the right: values @ weights^T."""

    def __init__(self, channels=8):
        super().__init__()
        self.q, self.k, self.v = nn.Conv2d(channels, 4, 1), nn.Conv2d(channels, 4, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        self.weights = torch.softmax(self.q(x).flatten(2).mT @ self.k(x).flatten(2), dim=-1)
        return x + torch.bmm(self.v(x).flatten(2), self.weights.permute(0, 2, 1)).view_as(x)


# ---------------------------------------------------------------------- gates


class SqueezeExcite(nn.Module):
    """`how` is how the gate meets the features."""

    def __init__(self, how="expand", channels=8):
        super().__init__()
        self.how = how
        self.fc = nn.Sequential(nn.Linear(channels, 2), nn.ReLU(), nn.Linear(2, channels), nn.Sigmoid())

    def forward(self, x):
        self.gate = self.fc(x.mean((2, 3)))
        if self.how == "einsum":
            return torch.einsum("bcyx,bc->bcyx", x, self.gate)
        if self.how == "index":
            return self.gate[:, :, None, None] * x
        return x * self.gate.view(*x.shape[:2], 1, 1).expand_as(x)


class ConvSqueezeExcite(nn.Module):
    """As image libraries write it: 1 x 1 convolutions and a hard sigmoid."""

    def __init__(self, channels=8):
        super().__init__()
        self.reduce, self.expand, self.act = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1), nn.Hardsigmoid()

    def forward(self, x):
        self.gate = self.act(self.expand(F.relu(self.reduce(x.mean((2, 3), keepdim=True)))))
        return x * self.gate


class EfficientChannel(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x):
        around = self.conv(x.mean((2, 3)).unsqueeze(1)).transpose(1, 2).unsqueeze(-1)
        self.gate = around.sigmoid()
        return x * self.gate.expand_as(x)


class ChannelAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(channels, 4), nn.ReLU(), nn.Linear(4, channels))

    def forward(self, x):
        self.gate = torch.sigmoid(self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3))))[..., None, None]
        return self.gate


class SpatialAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(2, 1, 3, padding=1), nn.Sigmoid()

    def forward(self, x):
        self.gate = self.act(self.conv(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))
        return self.gate


class Cbam(nn.Module):
    """Two modules return gates, the block multiplies."""

    def __init__(self, channels=8):
        super().__init__()
        self.channel, self.space = ChannelAttention(channels), SpatialAttention()

    def forward(self, x):
        x = x * self.channel(x)
        return x * self.space(x)


class TwoOverTime(nn.Module):
    """Channels of a signal (batch, channels, time), then its moments."""

    def __init__(self, channels=8):
        super().__init__()
        self.channels, self.moments = nn.Linear(channels, channels), nn.Linear(channels, 1)

    def forward(self, x):
        x = x * self.channels(x.mean(-1)).sigmoid().unsqueeze(-1)
        moments = x.transpose(1, 2)
        return moments * self.moments(moments).sigmoid()


# ---------------------------------------------------------------------- what is no attention


class Decoys(nn.Module):
    """Recurrent cells, gated units, a router, class probabilities, a lookup: sigmoids and softmaxes all the same."""

    def __init__(self, width=8, words=9):
        super().__init__()
        self.embed, self.lstm = nn.Embedding(words, width), nn.LSTM(width, width, batch_first=True)
        self.input_gate, self.cell_input, self.glu = (nn.Linear(width, n) for n in (width, width, 2 * width))
        self.router, self.head, self.words = nn.Linear(width, 4), nn.Linear(width, 4), words
        self.experts = nn.ModuleList(nn.Linear(width, width) for _ in range(4))

    def forward(self, ids):
        x = F.one_hot(ids, self.words).float() @ self.embed.weight + self.lstm(self.embed(ids))[0]
        x = torch.sigmoid(self.input_gate(x)) * torch.tanh(self.cell_input(x)) + F.glu(self.glu(x)) + F.silu(x)
        shares, made = self.router(x).softmax(-1), torch.stack([expert(x) for expert in self.experts], dim=-2)
        x = x + (shares.unsqueeze(-2) @ made).squeeze(-2) + torch.einsum("bte,bted->btd", shares, made)
        x = x + (shares.unsqueeze(-1) * made).sum(-2)
        classes = self.head(x).softmax(-1)
        return classes @ self.head.weight, torch.sigmoid(self.head(x)), classes


class Scripted(nn.Module):
    """A graph whose functions are out of sight, in a module that says attention."""

    def __init__(self, example):
        super().__init__()
        self.graph = torch.jit.trace(TwoSequences().eval(), (example, example), check_trace=False)

    def forward(self, tokens):
        return self.graph(tokens, tokens)


class ScriptedAttention(Scripted):
    pass
