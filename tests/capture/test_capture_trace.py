"""What a trace says, which record it makes, and what it answers when there is none."""

import capture_models as own
import hf
import pytest
import torch
from torch import nn

from attnlab.capture import capture, tokens
from attnlab.viz.record import Grid


def words(*shape):
    return torch.randn(*shape or (2, 5, 8))


class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = (nn.ModuleList(own.TwoSequences() for _ in range(2)) for _ in range(2))
        self.cross = own.TwoSequences()

    def forward(self, x, y):
        for block in self.encoder:
            x = x + block(x, x)
        for block in self.decoder:
            y = y + block(y, y)
        return self.cross(y, x)


def test_several_groups_are_listed_with_how_to_choose():
    trace = capture(Translator(), words(), words())
    with pytest.raises(ValueError, match="3 groups of sites match") as raised:
        trace.record()
    assert 'kind="self", where="decoder.*.attend" (2 layers): 5 x 5' in str(raised.value)
    assert trace.record(where="encoder").source == ("encoder.0.attend", "encoder.1.attend")
    assert trace.record(where="decoder.*.attend").shape[0] == 2
    assert trace.record(where="decoder.1").source == ("decoder.1.attend",)
    assert trace.record(kind="cross").source == ("cross.attend",)
    assert [record.kind for record in trace.records(item=1)] == ["self", "self", "cross"]
    with pytest.raises(ValueError, match="Nothing matches where='nowhere'"):
        trace.record(where="nowhere")
    with pytest.raises(ValueError, match='Expected kind "self", "cross" or "gate"'):
        trace.record(kind="both")


def test_printing_gives_a_table_of_what_was_found():
    lines = str(capture(own.Fused(is_causal=True), words())).splitlines()
    assert lines[0] == "1 site of attention:"
    assert lines[1].split() == "where kind heads queries x keys batch seen as hidden".split()
    assert lines[2].split() == "(the model) self 4 5 x 5 2 scaled_dot_product_attention 40 %".split()


def test_one_item_of_the_batch_at_a_time():
    trace = capture(own.TwoSequences(), x := words(), x)
    for item in (0, 1):
        wanted = trace.sites[0].weights[item].detach().numpy()
        assert (trace.record(item=item).weights[0] == wanted).all()
    with pytest.raises(ValueError, match="Expected item between 0 and 1, got 2"):
        trace.record(item=2)


def test_a_model_called_twice_keeps_its_calls_apart():
    model = own.Fused()
    with capture(model) as trace:
        first, second = model(words()), model(words(2, 7, 8))
    assert torch.equal(trace.output, second) and not torch.equal(first[:, :1], second[:, :1])
    assert [site.call for site in trace.sites] == [0, 1]
    assert "in 2 calls of the model" in str(trace)
    with pytest.raises(ValueError, match="call=1"):
        trace.record()
    assert trace.record(call=1).shape == (1, 4, 7, 7)


def test_layers_that_share_their_weights_are_layers():
    block = own.TwoSequences()

    def twice(x):
        return block(block(x, x), block(x, x))

    assert len(capture(twice, words()).sites) == 3

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = block

        def forward(self, x):
            for _ in range(3):
                x = x + self.block(x, x)
            return x

    assert capture(Shared(), words()).record().shape[0] == 3


def test_labels_and_grids_are_passed_on():
    trace = capture(own.Fused(), words(1, 6, 8))
    assert trace.record(labels=list("abcdef")).key_names == tuple("abcdef")
    assert trace.record(grid=Grid(2, 3)).key_grid == Grid(2, 3)
    with pytest.raises(ValueError, match="Expected 6 query_labels"):
        trace.record(labels=["one"])
    with pytest.raises(ValueError, match="no token ids of length 6"):
        trace.record(labels=hf.Tokenizer())


def test_one_grid_goes_to_the_side_that_it_fits():
    record = capture(own.TwoSequences(), words(1, 4, 8), words(1, 6, 8)).record(grid=Grid(2, 3))
    assert (record.query_grid, record.key_grid) == (None, Grid(2, 3))


def test_tokens_of_an_item():
    assert tokens(hf.Tokenizer(), {"input_ids": [[1, 2], [3, 4]]}, item=1) == ["word3", "word4"]
    assert tokens(hf.Tokenizer(), torch.tensor([5, 6])) == ["word5", "word6"]


# ---------------------------------------------------------------------- pictures and clips


def test_the_patches_of_a_picture_have_their_places():
    trace = capture(hf.vit().eval(), pixel_values=torch.randn(2, 3, 16, 24))
    assert trace.record().query_grid == Grid(2, 3, before=("[CLS]",))


def test_the_picture_that_was_given_counts_not_the_one_in_the_configuration():
    model = hf.vit(image_size=16).eval()
    trace = capture(model, pixel_values=torch.randn(2, 3, 32, 8), interpolate_pos_encoding=True)
    assert trace.record().query_grid == Grid(4, 1, before=("[CLS]",))


def test_the_tubelets_of_a_clip_have_their_places():
    trace = capture(hf.vivit().eval(), pixel_values=torch.randn(1, 4, 3, 16, 16))
    assert trace.record().key_grid == Grid(2, 2, t=2, before=("[CLS]",))


class PatchModel(nn.Module):
    """As image libraries write it: a grid at the patch embedding, tokens before it."""

    class Embed(nn.Module):
        grid_size = (2, 3)

    def __init__(self, registers):
        super().__init__()
        self.patch_embed, self.block = self.Embed(), own.Fused()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.reg_token = nn.Parameter(torch.zeros(1, 2, 8)) if registers else None
        self.num_prefix_tokens = 3 if registers else 1

    def forward(self, patches):
        before = [one.expand(len(patches), -1, -1) for one in (self.cls_token, self.reg_token) if one is not None]
        return self.block(torch.cat([*before, patches], dim=1))


def test_class_and_register_tokens_stand_before_the_grid():
    assert capture(PatchModel(False), words(1, 6, 8)).record().query_grid == Grid(2, 3, before=("[CLS]",))
    grid = capture(PatchModel(True), words(1, 6, 8)).record().query_grid
    assert grid == Grid(2, 3, before=("[CLS]", "[REG] 0", "[REG] 1"))


def test_a_grid_is_never_guessed():
    assert capture(PatchModel(False), words(1, 8, 8)).record().query_grid is None  # 9 tokens are not 1 + 2 x 3
    assert capture(own.Fused(), words(1, 9, 8)).record().query_grid is None


# ---------------------------------------------------------------------- nothing found


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_attention_out_of_sight_is_named_with_the_reason():
    model = nn.Sequential(own.ScriptedAttention(words()), own.Fused())
    trace = capture(model, words())
    assert [site.where for site in trace.sites] == ["1"]
    [unread] = trace.unread
    assert (unread.where, unread.module) == ("0", "ScriptedAttention")
    assert "no torch function was seen inside" in unread.why
    assert "0 (ScriptedAttention): no torch function was seen" in str(trace)


def test_attention_that_makes_no_table_is_named_with_the_reason():
    class LinearAttention(nn.Module):
        def forward(self, x):
            return x @ (x.mT @ x)

    trace = capture(LinearAttention(), words())
    assert "no table whose rows sum to one" in trace.unread[0].why


def test_what_fails_in_reading_is_told_and_the_model_runs():
    class JaggedAttention(nn.Module):
        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(x, x, x)

    rows = [torch.randn(2, 4, 8).transpose(0, 1), torch.randn(2, 3, 8).transpose(0, 1)]
    x = torch.nested.nested_tensor(rows, layout=torch.jagged).transpose(1, 2)
    trace = capture(JaggedAttention(), x)
    assert trace.output.is_nested
    assert "nested tensors" in trace.unread[0].why


def test_no_attention_at_all_says_what_to_do():
    trace = capture(nn.Linear(8, 8), words())
    assert str(trace).startswith("No attention was captured, in 1 calls")
    with pytest.raises(ValueError, match='attn_implementation="eager"'):
        trace.record()


def test_a_model_that_did_not_run_is_told_so():
    with capture(own.Fused()) as trace:
        own.Fused()(words())
    assert trace.sites == [] and "did not run inside the block" in str(trace)
    assert "did not run inside the block" in str(capture(torch.softmax))
    assert "in 1 calls of modules and 1 functions" in str(capture(torch.relu, words()))


@pytest.mark.filterwarnings("ignore:Using `torch.compile")
def test_a_compiled_model_is_captured_as_it_was_written():
    compiled = torch.compile(own.TwoSequences(), backend="eager")
    x = words()
    plain = compiled(x, x)
    trace = capture(compiled, x, x)
    assert torch.equal(plain, trace.output) and len(trace.sites) == 1
