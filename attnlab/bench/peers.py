"""Layers of other libraries beside ours with the same weights: equal outputs first, then their times.

Each peer is compared with itself in float64. What is not installed is named, and not measured.

`pip install '.[peers]'` brings all of them. vit-pytorch asks for torchvision, which we do not use: where there is
none for your build of torch, `pip install --no-deps vit-pytorch` and `pip install einops` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnlab.bench.checking import answer
from attnlab.bench.measuring import Case, Row, Setting, Way, dtype_name, measured
from attnlab.bench.padding import lengths_of
from attnlab.fast import attention
from attnlab.fast.packing import layout, pack, packed_attention, unpack


def rows(setting: Setting) -> Iterator[Row]:
    for package, cases in PEERS.items():
        try:
            found = list(cases(setting))
        except ImportError as missing:
            why = f"not installed: {missing}"
            yield {"section": "peers", "case": {"peer": package}, "way": package, "ours": False, "why": why}
            continue
        for case in found:
            yield from measured(case, setting)


def _size(setting: Setting) -> tuple[int, int, int, int]:
    """batch, tokens, heads, width of a head."""
    return (2, 48, 2, 32) if setting.quick else (16, 1024, 12, 64) if setting.on_gpu else (4, 512, 12, 64)


def _tokens(setting: Setting, batch: int, tokens: int, width: int) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(batch, tokens, width, device=setting.device).to(_dtype(setting))


def _dtype(setting: Setting) -> torch.dtype:
    return torch.bfloat16 if setting.on_gpu else torch.float32


def _case(
    name: str, peers: dict[str, nn.Module], call: Callable[..., Tensor], ours: dict[str, Callable[..., Tensor]],
    tokens: Tensor, setting: Setting, real: Tensor | None = None, **what: Any,
) -> Case:  # fmt: skip
    """call(module, tokens): a peer's output. real: which tokens are no padding; the rest is not compared."""

    def part(outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (output,) = outputs
        return (output if real is None else output[real],)

    first = next(iter(peers.values()))
    wide = deepcopy(first).double()
    right = part((call(wide, tokens.double()),))
    ways: dict[str, Way | str] = {
        own: lambda function=function: (function(tokens),) for own, function in ours.items()
    } | {peer: lambda module=module: (call(module, tokens),) for peer, module in peers.items()}
    shape = {"layer": name, "batch": tokens.shape[0], "tokens": tokens.shape[1], "width": tokens.shape[2], **what}
    return Case(
        "peers", shape | {"pass": "fwd", "dtype": dtype_name(tokens.dtype)}, ways,
        answer(part, right, part((call(first, tokens),))), yardstick=list(peers)[-1], ours=tuple(ours),
    )  # fmt: skip


def heads(projected: Tensor, count: int) -> Tensor:
    """(batch, tokens, heads * width) -> (batch, heads, tokens, width)."""
    return projected.unflatten(-1, (count, -1)).transpose(1, 2)


def joined(output: Tensor) -> Tensor:
    return output.transpose(1, 2).flatten(-2)


# ---------------------------------------------------------------------- transformers


def transformers_cases(setting: Setting) -> Iterator[Case]:
    yield bert_attention(setting)
    yield bert_layer(setting)
    yield vit_attention(setting)


def _config(kind: Any, setting: Setting, implementation: str) -> Any:
    _, _, count, width = _size(setting)
    config = kind(
        hidden_size=count * width, num_attention_heads=count, intermediate_size=4 * count * width,
        attention_probs_dropout_prob=0.0, hidden_dropout_prob=0.0,
    )  # fmt: skip
    config._attn_implementation = implementation
    return config


def _both(module: Any, config: Any, setting: Setting) -> dict[str, nn.Module]:
    """The same weights in transformers' plain form and in the one over torch's function."""
    torch.manual_seed(0)
    plain, fused = _same(*(module(_config(config, setting, how)) for how in ("eager", "sdpa")), setting=setting)
    return {"transformers eager": plain, "transformers sdpa": fused}


def bert_attention(setting: Setting) -> Case:
    """BertSelfAttention: three projections and attention, without what comes behind."""
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertSelfAttention

    batch, tokens, count, width = _size(setting)
    peers = _both(BertSelfAttention, BertConfig, setting)
    own = peers["transformers eager"]

    def ours(x: Tensor) -> Tensor:
        return joined(attention(*(heads(project(x), count) for project in (own.query, own.key, own.value))))

    x = _tokens(setting, batch, tokens, count * width)
    return _case("BERT self-attention", peers, lambda module, x: module(x)[0], {"fast": ours}, x, setting)


def vit_attention(setting: Setting) -> Case:
    """A ViT's attention with its output projection: 14 x 14 patches and the class token."""
    from transformers import ViTConfig
    from transformers.models.vit.modeling_vit import ViTAttention

    batch, _, count, width = _size(setting)
    peers = _both(ViTAttention, ViTConfig, setting)
    own = peers["transformers eager"]

    def ours(x: Tensor) -> Tensor:
        return own.o_proj(
            joined(attention(*(heads(project(x), count) for project in (own.q_proj, own.k_proj, own.v_proj))))
        )

    x = _tokens(setting, 2 * batch, 197, count * width)
    return _case("ViT attention", peers, lambda module, x: module(x)[0], {"fast": ours}, x, setting)


def bert_layer(setting: Setting) -> Case:
    """A whole BERT layer on uneven lengths: theirs padded, ours packed in front and unpacked behind."""
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertLayer

    batch, tokens, count, width = _size(setting)
    where = layout(lengths_of(batch, tokens), tokens, setting.device)
    real = torch.arange(tokens, device=setting.device) < where.starts.diff()[:, None]
    peers = _both(BertLayer, BertConfig, setting)
    own = peers["transformers eager"]

    def theirs(module: nn.Module, x: Tensor) -> Tensor:
        lowest = torch.finfo(x.dtype).min
        mask = torch.zeros(batch, 1, tokens, tokens, dtype=x.dtype, device=x.device)
        output = module(x, mask.masked_fill(~real[:, None, None], lowest))
        return output[0] if isinstance(output, tuple) else output

    def ours(x: Tensor) -> Tensor:
        rows = pack(x, where)
        self, after = own.attention.self, own.attention.output
        parts = (project(rows).unflatten(-1, (count, -1)) for project in (self.query, self.key, self.value))
        seen = packed_attention(*parts, where).flatten(-2)
        rows = after.LayerNorm(after.dense(seen) + rows)
        return unpack(own.output.LayerNorm(own.output.dense(F.gelu(own.intermediate.dense(rows))) + rows), where)

    x = _tokens(setting, batch, tokens, count * width)
    return _case("BERT layer, lengths 0.2 to 1", peers, theirs, {"fast": ours}, x, setting, real)


# ---------------------------------------------------------------------- x-transformers


def x_transformers_cases(setting: Setting) -> Iterator[Case]:
    """Their `Attention` and a whole layer of their `Encoder`, plain and with flash=True."""
    from x_transformers.x_transformers import Attention, Encoder

    batch, tokens, count, width = _size(setting)
    x = _tokens(setting, batch, tokens, count * width)
    for causal in (False, True):
        build = partial(Attention, dim=count * width, heads=count, dim_head=width, causal=causal)
        plain, fused = _same(build(), build(flash=True), setting=setting)
        peers = {"x-transformers": plain, "x-transformers flash": fused}
        ours = partial(_x_attention, plain, causal=causal)
        yield _case("x-transformers Attention", peers, _call, {"fast": ours}, x, setting, causal=causal)

    build = partial(Encoder, dim=count * width, depth=1, heads=count, attn_dim_head=width)
    plain, fused = _same(build(), build(attn_flash=True), setting=setting)
    peers = {"x-transformers": plain, "x-transformers flash": fused}
    yield _case("x-transformers Encoder", peers, _call, {"fast": partial(_x_encoder, plain)}, x, setting)


def _x_attention(own: Any, x: Tensor, causal: bool = False) -> Tensor:
    """Projections without biases in front and behind."""
    parts = (heads(project(x), own.heads) for project in (own.to_q, own.to_k, own.to_v))
    return own.to_out(joined(attention(*parts, causal=causal)))


def _x_encoder(own: Any, x: Tensor) -> Tensor:
    """Attention and the feed-forward part, each behind a norm and added to what it was given; one more norm last."""
    for (norm, *_), block, _ in own.layers:
        x = x + (_x_attention(block, norm(x)) if hasattr(block, "to_q") else block(norm(x)))
    return own.final_norm(x)


# ---------------------------------------------------------------------- vit-pytorch


def vit_pytorch_cases(setting: Setting) -> Iterator[Case]:
    """Their `Attention` and a whole layer of their `Transformer`: 14 x 14 patches and the class token. Not fused."""
    vit = _vit_pytorch()
    batch, _, count, width = _size(setting)
    wide = count * width
    x = _tokens(setting, 2 * batch, 197, wide)
    (own,) = _same(vit.Attention(wide, heads=count, dim_head=width), setting=setting)
    yield _case(
        "vit-pytorch Attention", {"vit-pytorch": own}, _call, {"fast": partial(_vit_attention, own)}, x, setting
    )
    (own,) = _same(vit.Transformer(wide, depth=1, heads=count, dim_head=width, mlp_dim=4 * wide), setting=setting)
    yield _case("vit-pytorch Transformer", {"vit-pytorch": own}, _call, {"fast": partial(_vit_layers, own)}, x, setting)


def _vit_pytorch() -> ModuleType:
    """Their module `vit` alone: importing the package imports torchvision, which nothing in `vit` needs."""
    package = find_spec("vit_pytorch")
    if package is None:
        raise ModuleNotFoundError("No module named 'vit_pytorch'")
    (folder,) = package.submodule_search_locations
    spec = spec_from_file_location("vit_pytorch_vit", f"{folder}/vit.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _vit_attention(own: Any, x: Tensor) -> Tensor:
    """A norm, one projection to query, key and value, and one behind."""
    parts = (heads(part, own.heads) for part in own.to_qkv(own.norm(x)).chunk(3, dim=-1))
    return own.to_out(joined(attention(*parts)))


def _vit_layers(own: Any, x: Tensor) -> Tensor:
    for attend, feed_forward in own.layers:
        x = _vit_attention(attend, x) + x
        x = feed_forward(x) + x
    return own.norm(x)


# ---------------------------------------------------------------------- what they share


def _same(*modules: nn.Module, setting: Setting) -> list[nn.Module]:
    """On the device, in the dtype, without gradients, and with the weights of the first."""
    for module in modules:
        module.to(setting.device, _dtype(setting)).eval().requires_grad_(False)
        module.load_state_dict(modules[0].state_dict())
    return list(modules)


def _call(module: nn.Module, x: Tensor) -> Tensor:
    return module(x)


PEERS: dict[str, Callable[[Setting], Iterator[Case]]] = {
    "transformers": transformers_cases,
    "x_transformers": x_transformers_cases,
    "vit_pytorch": vit_pytorch_cases,
}
