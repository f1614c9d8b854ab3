"""Calls that keep their weights to themselves: the weights are computed again beside them, from the same inputs.

The call itself runs untouched, so what the model returns stays the same to the last bit. Weights are those before
dropout, in float32 at least.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from attnlab.capture.lineage import HIDDEN


@dataclass
class Weights:
    """weights, hidden: (..., queries, keys); queries, keys: (..., number, width); of: the tensors projected, if any."""

    weights: Tensor
    hidden: Tensor | None
    queries: Tensor | None = None
    keys: Tensor | None = None
    scale: float | None = None
    of: tuple[Tensor, Tensor] | None = None


def _arguments(names: str, args: tuple, named: dict) -> dict[str, Any]:
    return dict.fromkeys(names.split()) | dict(zip(names.split(), args, strict=False)) | named


def scaled_dot_product(args: tuple, named: dict, result: Any) -> Weights:
    """F.scaled_dot_product_attention: its scale, mask (boolean or additive), causal flag and grouped heads."""
    given = _arguments("query key value attn_mask dropout_p is_causal", args, named)
    query, key = given["query"], given["key"]
    if query.is_nested or key.is_nested:
        raise ValueError("its inputs are nested tensors, rows of different lengths; pass padded ones and a mask")
    if given.get("enable_gqa"):
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
    scale = given.get("scale")
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    bias = given["attn_mask"]
    if given["is_causal"]:
        bias = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    found = _softmax(query, key, scale, bias)
    found.of = (given["query"], given["key"])
    return found


def multi_head_attention(args: tuple, named: dict, result: Any) -> Weights:
    """F.multi_head_attention_forward, what nn.MultiheadAttention calls: asked a second time, for its weights."""
    given = dict(inspect.signature(F.multi_head_attention_forward).bind(*args, **named).arguments)
    asked = given | {"need_weights": True, "average_attn_weights": False, "training": False}
    batched = given["query"].dim() == 3
    weights = F.multi_head_attention_forward(**asked)[1]
    weights = weights if batched else weights.unsqueeze(0)
    if not result[0].isnan().any():  # where everything is hidden the fused call gives zeros, the asked one NaN
        weights = weights.nan_to_num(0.0)
    found = Weights(weights, _hidden_of(given, weights), of=(given["query"], given["key"]))
    plain = all(given.get(name) is None for name in ("bias_k", "static_k", "static_v")) and not given["add_zero_attn"]
    if plain:
        found.queries, found.keys = _projected(given)
        found.scale = 1 / math.sqrt(found.queries.shape[-1])
    return found


def native_multi_head_attention(args: tuple, named: dict, result: Any) -> Weights:
    """torch._native_multi_head_attention, the fast path of nn.MultiheadAttention in eval mode."""
    names = (
        "query key value embed_dim num_head qkv_weight qkv_bias proj_weight proj_bias mask need_weights "
        "average_attn_weights mask_type"
    )
    given = _arguments(names, args, named)
    tokens = _padded(given["query"])
    return _packed(given["query"], tokens, given["num_head"], given["qkv_weight"], given["qkv_bias"], given)


def encoder_layer(args: tuple, named: dict, result: Any) -> Weights:
    """torch._transformer_encoder_layer_fwd, the fast path of nn.TransformerEncoderLayer in eval mode."""
    names = (
        "src embed_dim num_heads qkv_weight qkv_bias proj_weight proj_bias use_gelu norm_first eps norm_weight_1 "
        "norm_bias_1 norm_weight_2 norm_bias_2 ffn_weight_1 ffn_bias_1 ffn_weight_2 ffn_bias_2 mask mask_type"
    )
    given = _arguments(names, args, named)
    tokens = _padded(given["src"])
    if given["norm_first"]:
        tokens = F.layer_norm(tokens, tokens.shape[-1:], given["norm_weight_1"], given["norm_bias_1"], given["eps"])
    return _packed(given["src"], tokens, given["num_heads"], given["qkv_weight"], given["qkv_bias"], given)


FUSED = {
    "scaled_dot_product_attention": scaled_dot_product,
    "multi_head_attention_forward": multi_head_attention,
    "_native_multi_head_attention": native_multi_head_attention,
    "_transformer_encoder_layer_fwd": encoder_layer,
}


# ---------------------------------------------------------------------- what they share


def _softmax(query: Tensor, key: Tensor, scale: float, mask: Tensor | None) -> Weights:
    """softmax(query key^T scale), with a boolean mask (True = may be seen) or one that is added."""
    at_least = torch.promote_types(query.dtype, torch.float32)
    scores = query.to(at_least) @ key.to(at_least).transpose(-2, -1) * scale
    hidden = None
    if mask is not None:
        hidden = ~mask if mask.dtype == torch.bool else mask <= HIDDEN
        scores = scores.masked_fill(hidden, -torch.inf) if mask.dtype == torch.bool else scores + mask
    weights = scores.softmax(dim=-1).nan_to_num(0.0)
    if hidden is not None:  # a finite mask that hides a whole row hides nothing: the softmax forgets a constant
        hidden = hidden & (weights == 0)
    return Weights(weights, hidden, query, key, scale)


def _padded(tokens: Tensor) -> Tensor:
    return tokens.to_padded_tensor(0.0) if tokens.is_nested else tokens


def _packed(given_tokens: Tensor, tokens: Tensor, heads: int, weight: Tensor, bias: Tensor, given: dict) -> Weights:
    """Self-attention with one matrix for queries, keys and values; in its masks True means hidden."""
    query, key, _ = (_split(part, heads) for part in F.linear(tokens, weight, bias).chunk(3, dim=-1))
    seen = _lengths(given_tokens, tokens) if given_tokens.is_nested else _seen(given["mask"], given["mask_type"])
    found = _softmax(query, key, 1 / math.sqrt(query.shape[-1]), seen)
    if given_tokens.is_nested:  # padding asks nothing
        padding = ~seen.transpose(-2, -1)
        found.weights = found.weights.masked_fill(padding, 0.0)
        found.hidden = found.hidden | padding
    found.of = (given_tokens, given_tokens)
    return found


def _split(features: Tensor, heads: int) -> Tensor:
    """(batch, tokens, features) -> (batch, heads, tokens, width)"""
    return features.unflatten(-1, (heads, -1)).transpose(1, 2)


def _lengths(nested: Tensor, tokens: Tensor) -> Tensor:
    """(batch, 1, 1, tokens): True up to each sequence's own length."""
    lengths = torch.tensor([len(one) for one in nested.unbind()], device=tokens.device)
    return (torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None])[:, None, None]


def _seen(mask: Tensor | None, mask_type: int | None) -> Tensor | None:
    if mask is None:
        return None
    seen = ~mask.to(torch.bool)
    return seen[:, None, None] if mask_type == 1 else seen


def _hidden_of(given: dict, weights: Tensor) -> Tensor | None:
    masks = [given.get(name) for name in ("attn_mask", "key_padding_mask")]
    low = any(mask is not None and (mask if mask.dtype == torch.bool else mask <= HIDDEN).any() for mask in masks)
    return weights == 0 if low else None


def _projected(given: dict) -> tuple[Tensor, Tensor]:
    """Queries and keys (batch, heads, number, width) as nn.MultiheadAttention projects them."""
    if given.get("use_separate_proj_weight"):
        matrices = (given["q_proj_weight"], given["k_proj_weight"])
    else:
        matrices = given["in_proj_weight"].chunk(3)[:2]
    biases = (None, None) if given["in_proj_bias"] is None else given["in_proj_bias"].chunk(3)[:2]
    vectors = []
    for tokens, matrix, bias in zip((given["query"], given["key"]), matrices, biases, strict=True):
        tokens = tokens if tokens.dim() == 3 else tokens.unsqueeze(1)
        vectors.append(_split(F.linear(tokens, matrix, bias).transpose(0, 1), given["num_heads"]))
    return vectors[0], vectors[1]
