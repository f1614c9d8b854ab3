"""A capture changes nothing: not one bit of the output, no hook, no mode, no random number."""

import capture_models as own
import hf
import pytest
import torch
from torch import nn
from torch.nn.modules import module as all_hooks

from attnlab.capture import capture
from attnlab.reference.self_attention import SelfAttention1d

PADDING = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
CAUSAL = torch.ones(5, 5).tril().bool()


def tokens(*shape):
    return torch.randn(*shape or (2, 5, 8))


def picture():
    return torch.randn(2, 8, 5, 6)


def encoder(**options):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **options)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=not options)


def mha(**options):
    return nn.MultiheadAttention(8, 2, **options)


def call(model, inputs, **named):
    return model, inputs, named


# name: model, inputs, named inputs, and how many sites there are.
FAMILIES = {
    "reference": lambda: (*call(SelfAttention1d(8, 4), (tokens(),)), 1),
    "reference, masked after softmax": lambda: (*call(SelfAttention1d(8, 4), (tokens(), CAUSAL)), 1),
    "own softmax": lambda: (*call(own.OwnSoftmax(), (tokens(), CAUSAL)), 1),
    "own module for the mixing": lambda: (*call(own.TwoSequences(), (tokens(), tokens())), 1),
    "additive, step by step": lambda: (*call(own.Additive("bmm"), (tokens(),)), 4),
    "table on the right": lambda: (*call(own.ImageSelfAttention(), (picture(),)), 1),
    "fused, grouped heads": lambda: (*call(own.Fused(key_heads=2, enable_gqa=True, is_causal=True), (tokens(),)), 1),
    "multi-head": lambda: (*call(mha(), (x := tokens(), x, x), need_weights=False), 1),
    "multi-head, batch first": lambda: (*call(mha(batch_first=True), (x := tokens(), x, x), need_weights=False), 1),
    "multi-head, masks": lambda: (
        *call(mha(batch_first=True), (x := tokens(), x, x), attn_mask=~CAUSAL, key_padding_mask=PADDING),
        1,
    ),
    "encoder": lambda: (*call(encoder(), (tokens(),)), 2),
    "encoder, norm first": lambda: (*call(encoder(norm_first=True), (tokens(),)), 2),
    "encoder, padding": lambda: (*call(encoder(), (tokens(),), src_key_padding_mask=PADDING), 2),
    "encoder, causal": lambda: (*call(encoder(), (tokens(),), mask=~CAUSAL, is_causal=True), 2),
    "encoder-decoder": lambda: (*call(nn.Transformer(8, 2, 2, 2, 16, batch_first=True), (tokens(), tokens())), 6),
    "BERT": lambda: (*call(hf.bert(), (), **hf.padded()), 2),
    "BERT, eager": lambda: (*call(hf.bert(attn_implementation="eager"), (), **hf.padded()), 2),
    "GPT-2": lambda: (*call(hf.gpt2(), (), input_ids=hf.ids()), 2),
    "Llama": lambda: (*call(hf.llama(), (), **hf.padded()), 2),
    "T5": lambda: (*call(hf.t5(), (), decoder_input_ids=hf.ids(), **hf.padded()), 6),
    "BART": lambda: (*call(hf.bart(), (), decoder_input_ids=hf.ids(), **hf.padded()), 6),
    "ViT": lambda: (*call(hf.vit(), (), pixel_values=torch.randn(2, 3, 16, 24)), 2),
    "ViViT": lambda: (*call(hf.vivit(), (), pixel_values=torch.randn(1, 4, 3, 16, 16)), 2),
    "DETR": lambda: (*call(hf.detr(), (), pixel_values=torch.randn(1, 3, 64, 96)), 6),
    "squeeze and excitation": lambda: (*call(own.SqueezeExcite(), (picture(),)), 1),
    "CBAM": lambda: (*call(own.Cbam(), (picture(),)), 2),
    "decoys": lambda: (*call(own.Decoys(), (torch.randint(0, 9, (2, 5)),)), 0),
}


def leaves(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if hasattr(value, "items"):
        value = [one for _, one in value.items()]
    return [leaf for one in value for leaf in leaves(one)] if isinstance(value, tuple | list) else []


def equal(one, other):
    one, other = leaves(one), leaves(other)
    return len(one) == len(other) > 0 and all(map(torch.equal, one, other))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("gradients", [False, True], ids=["without gradients", "with gradients"])
@pytest.mark.parametrize("name", FAMILIES)
def test_outputs_are_equal_to_the_last_bit(name, gradients):
    model, inputs, named, sites = FAMILIES[name]()
    model.eval()
    with torch.set_grad_enabled(gradients):
        plain = model(*inputs, **named)
        trace = capture(model, *inputs, **named)
    assert equal(plain, trace.output)
    assert len(trace.sites) == sites, str(trace)
    assert trace.unread == []
    assert "could not be read" not in str(trace)
    records = trace.records()  # each accepts its numbers: rows sum to one, nothing hidden has weight
    assert sum(record.shape[0] for record in records) == (1 if name.startswith("additive") else sites)


@pytest.mark.parametrize("name", ["encoder, padding", "own module for the mixing", "multi-head, masks", "BART"])
def test_training_draws_the_same_dropout_and_records_weights_before_it(name):
    model, inputs, named, sites = FAMILIES[name]()
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    torch.manual_seed(3)
    plain = model(*inputs, **named)
    after = torch.rand(3)
    torch.manual_seed(3)
    trace = capture(model, *inputs, **named)
    assert equal(plain, trace.output)
    assert torch.equal(after, torch.rand(3))
    assert len(trace.sites) == sites
    assert trace.records()


def test_gradients_are_the_same():
    model, x = own.Fused(), tokens()
    wanted = torch.autograd.grad(model(x).sin().sum(), list(model.parameters()))
    got = torch.autograd.grad(capture(model, x).output.sin().sum(), list(model.parameters()))
    assert all(map(torch.equal, wanted, got))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("make", [own.Fused, own.TwoSequences, mha], ids=["fused", "softmax", "multi-head"])
def test_other_precisions_give_records_too(make, dtype):
    model = make().to(dtype).eval()
    inputs = (tokens().to(dtype),) * {own.Fused: 1, own.TwoSequences: 2, mha: 3}[make]
    with torch.no_grad():
        plain, trace = model(*inputs), capture(model, *inputs)
    assert equal(plain, trace.output)
    assert trace.record().kind == "self"


# ---------------------------------------------------------------------- nothing stays behind


def hooks_of(model):
    own_hooks = [(list(m._forward_hooks), list(m._forward_pre_hooks)) for m in model.modules()]
    return own_hooks, list(all_hooks._global_forward_hooks), list(all_hooks._global_forward_pre_hooks)


def state(model):
    modes = torch.overrides._get_current_function_mode_stack()
    return hooks_of(model), modes, torch.overrides.has_torch_function


def test_hooks_and_mode_are_gone_afterwards():
    model = encoder().eval()
    before = state(model)
    with capture(model) as trace:
        model(tokens())
        assert state(model) != before
    assert state(model) == before
    model(tokens())
    assert len(trace.sites) == 2  # a run outside the block is not seen


def test_hooks_and_mode_are_gone_after_the_model_raised():
    model = own.TwoSequences()
    before = state(model)
    with pytest.raises(RuntimeError, match="shapes"):
        capture(model, tokens(), tokens(2, 5, 9))
    assert state(model) == before


def test_a_module_that_raises_and_is_caught_leaves_the_path_right():
    class Careful(nn.Module):
        def __init__(self):
            super().__init__()
            self.broken, self.attend = own.TwoSequences(), own.Fused()

        def forward(self, x):
            try:
                self.broken(x, x[..., :3])
            except RuntimeError:
                return self.attend(x)

    assert [site.where for site in capture(Careful(), tokens()).sites] == ["attend"]


def test_captures_can_be_nested():
    model, x = encoder().eval(), tokens()
    with torch.no_grad():
        plain = model(x)
        with capture(model) as outer:
            model(x)
            with capture(model) as inner:
                result = model(x)
    assert torch.equal(plain, result)
    assert (len(outer.sites), len(inner.sites)) == (4, 2)
    assert state(model)[1] == []


def test_a_capture_inside_one_of_multi_head_attention_adds_no_site_to_the_outer():
    model, x = mha().eval(), tokens()
    with capture(model) as outer, capture(model) as inner:
        model(x, x, x, need_weights=False)
    assert (len(outer.sites), len(inner.sites)) == (1, 1)


def test_a_running_capture_cannot_be_entered_again():
    trace = capture(own.Fused())
    with trace, pytest.raises(RuntimeError, match="already running"), trace:
        pass


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="Expected a model to capture"):
        capture("a model")
