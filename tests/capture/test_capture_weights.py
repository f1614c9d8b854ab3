"""The weights are the ones that the model used."""

import capture_models as own
import hf
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from attnlab.capture import capture
from attnlab.reference.attention import attention
from attnlab.reference.self_attention import SelfAttention1d


def close(got, want, within=1e-6):
    torch.testing.assert_close(got, want.reshape(got.shape), rtol=0, atol=within, check_dtype=False)


def tokens(*shape):
    return torch.randn(*shape or (2, 5, 8))


CAUSAL = torch.ones(5, 5).tril().bool()
SOME = torch.tensor([[1, 1, 0, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1, 0, 1, 0, 1], [0, 1, 0, 0, 0]]).bool()


def test_the_reference_with_a_row_that_sees_nothing():
    model, x = SelfAttention1d(8, 4), tokens()
    trace = capture(model, x, SOME)
    [site] = trace.sites
    close(site.weights[:, 0], model(x, SOME)[1], 0)
    assert torch.equal(site.mask[0, 0], SOME)
    assert (trace.record(item=1).weights[0, 0, 2] == 0).all()


def test_a_function_can_be_captured():
    x = tokens()
    [site] = capture(attention, x, x, x).sites
    close(site.weights[:, 0], attention(x, x, x)[1], 0)


@pytest.mark.parametrize("spelling", ["torch.softmax", "method", "functional", "dtype", "module", "log", "special"])
def test_softmax_in_every_spelling(spelling):
    spellings = {
        "torch.softmax": lambda s: torch.softmax(s, -1),
        "method": lambda s: s.softmax(dim=-1),
        "functional": lambda s: F.softmax(s, dim=-1),
        "dtype": lambda s: F.softmax(s, dim=-1, dtype=torch.float64).to(s.dtype),
        "module": nn.Softmax(dim=-1),
        "log": lambda s: F.log_softmax(s, -1).exp(),
        "special": lambda s: torch.special.softmax(s, dim=-1),
    }

    def attend(q, k, v):
        return spellings[spelling](q @ k.mT) @ v

    q, k, v = tokens(), tokens(2, 6, 8), tokens(2, 6, 8)
    [site] = capture(attend, q, k, v).sites
    close(site.weights[:, 0], (q @ k.mT).softmax(-1))
    assert site.kind == "cross"


@pytest.mark.parametrize(
    "mix",
    [
        lambda w, v: w @ v,
        lambda w, v: torch.einsum("bhqk,bhkd->bqhd", w, v),
        lambda w, v: torch.einsum("...qk,...kd->...qd", w, v),
        lambda w, v: torch.einsum("bhkd,bhqk->bhqd", v, w),
        lambda w, v: torch.bmm(w.flatten(0, 1), v.flatten(0, 1)),
        lambda w, v: (v.mT @ w.mT).mT,
        lambda w, v: (w.unsqueeze(-1).flatten(0, 1) * v.flatten(0, 1).unsqueeze(1)).sum(dim=2),
    ],
    ids=["@", "einsum", "einsum with dots", "einsum, values first", "bmm", "on the right", "multiplied and summed"],
)
def test_the_table_is_found_however_it_is_multiplied(mix):
    q, k, v = tokens(2, 3, 5, 4), tokens(2, 3, 6, 4), tokens(2, 3, 6, 7)
    [site] = capture(lambda q, k, v: mix((q @ k.mT).softmax(-1), v), q, k, v).sites
    close(site.weights.reshape(2, 3, 5, 6), (q @ k.mT).softmax(-1))


def test_heads_folded_into_the_batch_are_told_apart():
    class Folded(own.Fused):
        def forward(self, x):
            q, k, v = (self.split(to(x), 4).flatten(0, 1) for to in (self.to_query, self.to_key, self.to_value))
            return torch.bmm(torch.softmax(torch.bmm(q, k.mT), -1), v)

    trace = capture(Folded(), tokens())
    assert trace.sites[0].weights.shape == (2, 4, 5, 5)
    assert capture(own.OwnSoftmax(), tokens()).sites[0].weights.shape == (2, 2, 5, 5)


@pytest.mark.parametrize(
    "options, mask, key_heads",
    [
        ({}, None, 4),
        ({"is_causal": True}, None, 4),
        ({"scale": 0.3}, SOME, 4),
        ({}, torch.randn(5, 5), 4),
        ({}, torch.zeros(2, 1, 5, 5).masked_fill(~CAUSAL, -torch.inf), 4),
        ({"enable_gqa": True}, CAUSAL, 2),
    ],
    ids=["plain", "causal", "scale and mask", "added bias", "added -inf", "grouped heads"],
)
def test_fused_attention_mixes_values_with_these_weights(options, mask, key_heads):
    model, x = own.Fused(key_heads=key_heads, **options).eval(), tokens()
    trace = capture(model, x, mask)
    [site] = trace.sites
    values = model.split(model.to_value(x), key_heads).repeat_interleave(4 // key_heads, dim=1)
    close((site.weights @ values).transpose(1, 2).flatten(2), model(x, mask))
    assert site.weights.shape == (2, 4, 5, 5)
    record = trace.record(item=1)
    assert record.queries.shape == record.keys.shape == (1, 4, 5, 4)
    assert record.scale == pytest.approx(options.get("scale", 0.5))
    if mask is None or mask.dtype != torch.bool:
        return
    assert (torch.from_numpy(record.visible.copy())[0] == mask).all()


def test_vectors_can_be_left_out():
    assert capture(own.Fused(), tokens(), keep_vectors=False).record().queries is None


@pytest.mark.parametrize(
    "options", [{}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"kdim": 6, "vdim": 7}], ids=str
)
@pytest.mark.parametrize("batch_first", [True, False])
def test_multi_head_attention_without_weights(options, batch_first):
    model = nn.MultiheadAttention(8, 2, batch_first=batch_first, **options).eval()
    q, k, v = tokens(2, 5, 8), tokens(2, 6, options.get("kdim", 8)), tokens(2, 6, options.get("vdim", 8))
    padding = torch.zeros(2, 6, dtype=torch.bool)
    padding[1, 4:] = True
    if not batch_first:
        q, k, v = (x.transpose(0, 1) for x in (q, k, v))
    trace = capture(model, q, k, v, need_weights=False, key_padding_mask=padding)
    wanted = model(q, k, v, key_padding_mask=padding, average_attn_weights=False)[1]
    close(trace.sites[0].weights, wanted)
    record = trace.record(item=1)
    assert record.kind == "cross"
    assert not record.visible[..., 4:6].any()
    if record.queries is not None and options == {}:
        again = torch.from_numpy(record.queries @ record.keys.swapaxes(-1, -2) * record.scale)
        close(again.masked_fill(padding[1], -torch.inf).softmax(-1), torch.from_numpy(record.weights.copy()))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("case", ["plain", "causal", "padding", "both"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_the_fast_path_of_the_encoder_gives_the_weights_of_the_slow_one(case, norm_first):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
    model, x = nn.TransformerEncoder(layer, 2, enable_nested_tensor=not norm_first).eval(), tokens()
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    named = {"mask": ~CAUSAL} if case in ("causal", "both") else {}
    named |= {"src_key_padding_mask": padding} if case in ("padding", "both") else {}
    with torch.no_grad():
        fast = capture(model, x, **named)
    slow = capture(model, x, **named)  # with gradients torch takes the slow path
    assert {site.seen for site in fast.sites} == {"transformer_encoder_layer_fwd"}
    assert {site.seen for site in slow.sites} == {"multi_head_attention_forward"}
    for one, other in zip(fast.sites, slow.sites, strict=True):
        asked = ~padding[:, None, :, None] if "src_key_padding_mask" in named else torch.tensor(True)
        close(one.weights * asked, other.weights * asked)
    assert len(fast.record(item=1).source) == 2


def test_an_encoder_decoder_has_three_kinds_of_sites_although_lengths_are_equal():
    model, x = nn.Transformer(8, 2, 2, 2, 16, batch_first=True).eval(), tokens()
    for target in (tokens(), x):  # even where source and target are one tensor
        trace = capture(model, x, target)
        assert [site.kind for site in trace.sites] == ["self", "self", "self", "cross", "self", "cross"]


@pytest.mark.parametrize("build", [hf.bert, hf.gpt2, hf.llama], ids=["BERT", "GPT-2", "Llama"])
@pytest.mark.parametrize("backend", ["sdpa", "eager"])
def test_hugging_face_models_give_the_weights_of_the_eager_one(build, backend):
    model, eager = build(attn_implementation=backend).eval(), build(attn_implementation="eager").eval()
    eager.load_state_dict(model.state_dict())
    given = hf.padded()
    wanted = eager(**given, output_attentions=True).attentions
    trace = capture(model, **given)
    for site, weights in zip(trace.sites, wanted, strict=True):
        close(site.weights, weights)
    record = trace.record(item=1, labels=hf.Tokenizer())
    assert record.shape == (2, 4, 7, 7) and record.kind == "self"
    assert record.query_names == tuple(f"word{i}" for i in given["input_ids"][1])
    assert not record.visible[:, :, :5, 5:].any()


@pytest.mark.parametrize("build", [hf.t5, hf.bart], ids=["T5", "BART"])
@pytest.mark.parametrize("backend", ["sdpa", "eager"])
def test_encoder_decoders_of_equal_lengths(build, backend):
    model = build(attn_implementation="eager").eval()
    given = hf.padded() | {"decoder_input_ids": hf.ids()}
    wanted = model(**given, output_attentions=True)
    model.set_attn_implementation(backend)
    trace = capture(model, **given)
    pairs = {"encoder": "encoder_attentions", "decoder": "decoder_attentions", "cross": "cross_attentions"}
    groups = {name: [] for name in pairs}
    for site in trace.sites:
        groups["cross" if site.kind == "cross" else site.where.split(".")[0]].append(site)
    for name, attribute in pairs.items():
        assert len(groups[name]) == 2
        for site, weights in zip(groups[name], wanted[attribute], strict=True):
            close(site.weights, weights)
    cross = trace.record(kind="cross", labels=hf.Tokenizer())
    assert cross.query_names == tuple(f"word{i}" for i in given["decoder_input_ids"][0])
    assert cross.key_names == tuple(f"word{i}" for i in given["input_ids"][0])


def test_detr_looks_at_the_picture_from_queries_as_many_as_places():
    trace = capture(hf.detr().eval(), pixel_values=torch.randn(1, 3, 64, 96))
    assert [site.kind for site in trace.sites] == ["self", "self", "self", "cross", "self", "cross"]


def test_steps_of_a_decoder_become_the_queries_of_one_layer():
    for form in ("bmm", "einsum", "sum"):
        model = own.Additive(form)
        record = capture(model, tokens()).record(item=1)
        assert record.shape == (1, 1, 4, 5) and record.kind == "cross"
        wanted = torch.stack([weights[1] for weights in model.weights])
        close(torch.from_numpy(record.weights.copy())[0, 0], wanted)


def test_whose_projections_they_are_decides_what_is_self_attention():
    model, x = own.TwoSequences(), tokens()
    assert capture(model, x, x).sites[0].kind == "self"
    assert capture(model, x, tokens()).sites[0].kind == "cross"
    assert capture(attention, x, tokens(), tokens()).sites[0].kind == "cross"


def test_dropout_is_looked_behind():
    for inplace in (False, True):
        model = own.TwoSequences(dropout=0.5)
        model.attend.dropout.inplace = inplace
        x = tokens()
        [site] = capture(model, x, x).sites
        if not inplace:
            close(site.weights[:, 0], model.attend.weights)
        assert capture(model, x, x).record()


def test_unbatched_heads_are_heads():
    class Unbatched(own.OwnSoftmax):
        def forward(self, x):
            q, k, v = (part.unflatten(-1, (2, -1)).transpose(0, 1) for part in self.qkv(x).chunk(3, -1))
            return torch.softmax(q @ k.mT, -1) @ v

    assert capture(Unbatched(), tokens(5, 8)).sites[0].weights.shape == (1, 2, 5, 5)


def test_a_finite_mask_that_hides_everything_hides_nothing():
    model, x = own.OwnSoftmax(), tokens()
    [site] = capture(model, x, SOME).sites
    close(site.weights[:, :, 2], model.weights[:, :, 2])
    assert site.mask[:, :, 2].all() and not site.mask[:, :, 0, 2].any()


def test_flex_attention_runs_and_is_seen():
    flex = pytest.importorskip("torch.nn.attention.flex_attention").flex_attention
    x = tokens(1, 1, 128, 8)
    with pytest.warns(UserWarning, match="flex_attention"):
        trace = capture(lambda x: flex(x, x, x), x)
    close(trace.sites[0].weights, (x @ x.mT / 8**0.5).softmax(-1))
