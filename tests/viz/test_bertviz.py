"""BertViz in a sealed frame: what stands in the page, that it is the record's, and what is refused."""

import hashlib
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import attnlab.viz.bertviz as our_bertviz
from attnlab.viz.bertviz import MOST_NUMBERS, VIEWS, drawing, show
from attnlab.viz.record import AttentionRecord

pytest.importorskip("bertviz", reason="the extra is not installed: pip install 'attnlab[bertviz]'")

VENDOR = Path(our_bertviz.__file__).parent / "vendor"
WORDS = ("the", "cat", "sat", "down")
HOSTILE = ("</script><b>", '"><img src=x>', "</iframe>", "&quot;<!--")
DRAWN = {"html", "head", "meta", "title", "style", "body", "script", "div", "span", "label", "select"}


class Tags(HTMLParser):
    """Every start tag of a page, with its attributes, as a browser reads them."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def named(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.found if tag == name]


def softmax(scores: np.ndarray) -> np.ndarray:
    exps = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exps / exps.sum(axis=-1, keepdims=True)


def record(words=WORDS, keys=None, layers=2, heads=3, width=4, scale=0.5, causal=False) -> AttentionRecord:
    """Weights made from queries and keys, so that the three belong together."""
    random = np.random.default_rng(0)
    q = random.normal(size=(layers, heads, len(words), width))
    k = random.normal(size=(layers, heads, len(keys or words), width))
    mask = np.tri(len(words), dtype=bool) if causal else None
    scores = q @ k.swapaxes(-1, -2) * scale
    return AttentionRecord(
        softmax(np.where(mask, scores, -np.inf) if causal else scores),
        kind="cross" if keys else "self",
        query_labels=words, key_labels=keys, mask=mask, queries=q, keys=k, scale=scale,
    )  # fmt: skip


def many(tokens: int, layers: int = 1, heads: int = 1) -> AttentionRecord:
    return AttentionRecord(np.random.default_rng(0).dirichlet(np.ones(tokens), size=(layers, heads, tokens)))


def params(shown) -> dict:
    """The numbers that the page hands to BertViz's script."""
    (text,) = re.findall(r"window\.bertviz_params = (.*);</script>", shown.page)
    return json.loads(text)


def attention(shown) -> dict:
    told = params(shown)
    return told["attention"]["all" if shown.title.startswith("BertViz's neuron") else 0]


@pytest.fixture(params=VIEWS)
def view(request):
    return request.param


def test_the_weights_of_the_page_are_those_of_the_record(view):
    given = record()
    told = attention(show(given, view))
    np.testing.assert_allclose(told["attn"], given.weights, rtol=6e-4)
    assert told["left_text"] == told["right_text"] == list(WORDS)


def test_the_neuron_view_gets_the_queries_and_keys_of_the_record():
    given = record()
    told = attention(show(given, "neuron"))
    np.testing.assert_allclose(told["queries"], given.queries, rtol=6e-4)
    np.testing.assert_allclose(told["keys"], given.keys, rtol=6e-4)


@pytest.mark.parametrize("causal", [True, False])
def test_the_neuron_view_is_told_whether_tokens_may_look_ahead(causal):
    assert params(show(record(causal=causal), "neuron"))["bidirectional"] is not causal


def test_cross_attention_has_queries_on_the_left_and_keys_on_the_right(view):
    told = attention(show(record(keys=("le", "chat")), view))
    assert (told["left_text"], told["right_text"]) == (list(WORDS), ["le", "chat"])
    assert np.shape(told["attn"]) == (2, 3, 4, 2)


def test_without_labels_tokens_have_the_names_of_the_record():
    assert attention(show(many(3), "head"))["left_text"] == ["0", "1", "2"]


def test_the_numbers_stand_in_the_page_once(view):
    weights = np.full((1, 1, 3, 3), 1 / 3)
    weights[0, 0, 1] = [0.7321, 0.1179, 0.15]
    vectors = np.ones((1, 1, 3, 2))
    shown = show(AttentionRecord(weights, queries=vectors, keys=vectors), view)
    assert shown.page.count("0.7321") == 1
    assert shown.page.count("0.3333") == 6
    assert shown.page.count("PYTHON_PARAMS") == 0


def test_the_frame_is_sealed_and_has_a_title(view):
    tags = Tags(show(record(), view).html())
    (frame,) = tags.named("iframe")
    assert frame["sandbox"] == "allow-scripts"
    assert frame["title"].startswith(f"BertViz's {view} view of AttentionRecord(self: layers 2")
    assert frame["srcdoc"].startswith("<!doctype html>")
    assert tags.named("script") == []
    (picture,) = tags.named("img")
    assert picture["src"].startswith("data:image/png;base64,")
    assert "The strongest links are" in picture["alt"]


def test_the_page_in_the_frame_is_the_page(view):
    shown = show(record(words=HOSTILE), view)
    (frame,) = Tags(shown.html()).named("iframe")
    assert frame["srcdoc"] == shown.page


def test_nothing_in_the_page_names_a_place_to_load_from(view):
    page = show(record(), view).page
    tags = Tags(page)
    assert {tag for tag, _ in tags.found} <= DRAWN
    assert [attributes for _, attributes in tags.found if {"src", "href", "srcset", "data"} & set(attributes)] == []
    policies = [meta["content"] for meta in tags.named("meta") if "http-equiv" in meta]
    assert policies == ["default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"]
    assert "cdnjs" not in page and "require.config" not in page


def test_a_hostile_token_stays_a_token(view):
    plain, hostile = show(record(), view), show(record(words=HOSTILE), view)
    ids = plain.page.replace(record().digest, record(words=HOSTILE).digest)
    assert Tags(hostile.page).found == Tags(ids).found
    outside = [tag for tag, _ in Tags(hostile.html()).found]
    assert outside == [tag for tag, _ in Tags(plain.html()).found]
    assert attention(hostile)["left_text"] == list(HOSTILE)


def test_a_token_is_no_formula():
    assert show(record(words=("$\\nonsense{$", "$", "a", "b")), "head").png.startswith(b"\x89PNG")


def test_the_same_record_gives_the_same_bytes_and_another_record_another_id(view):
    first, again, other = (show(given, view) for given in (record(), record(), record(scale=0.6)))
    assert first._repr_mimebundle_() == again._repr_mimebundle_()
    assert params(first)["root_div_id"] == f"bertviz-{view}-{record().digest}"
    assert f'id="{params(first)["root_div_id"]}"' in first.page
    assert params(first)["root_div_id"] != params(other)["root_div_id"]


def test_the_plain_text_says_what_the_picture_shows(view):
    told = show(record(), view)._repr_mimebundle_()["text/plain"]
    assert f"BertViz's {view} view. Self-attention: 2 layers, 3 heads, 4 tokens." in told
    assert re.search(r"layer +head +query +key +weight", told)


def test_the_neuron_view_says_when_its_scale_is_not_the_records():
    usual, other = show(record(width=4, scale=0.5), "neuron"), show(record(width=4, scale=1.0), "neuron")
    assert usual.note == ""
    assert "colours q·k times 0.5," in other.html() and "q·k times 1." in repr(other)


def test_other_views_than_bertvizs_are_refused():
    with pytest.raises(ValueError, match="one of 'head', 'model', 'neuron'; got 'tail'"):
        show(record(), "tail")


def test_a_gate_is_refused(view):
    with pytest.raises(ValueError, match="BertViz knows only attention between tokens; got a gate"):
        show(AttentionRecord.gate(np.array([0.2, 0.9])), view)


def test_the_neuron_view_needs_queries_and_keys():
    with pytest.raises(ValueError, match='`queries` and `keys` for the view "neuron", got weights alone'):
        show(many(3), "neuron")


def test_without_bertviz_it_says_what_to_install(view, monkeypatch):
    monkeypatch.setitem(sys.modules, "bertviz", None)  # what a missing package looks like to an import
    with pytest.raises(ImportError, match=r"pip install 'attnlab\[bertviz\]'"):
        show(record(), view)


@pytest.mark.parametrize(
    ("view", "given", "ours"),
    [
        ("head", many(tokens=18, layers=60, heads=12), "links"),
        ("head", many(tokens=260, heads=3), "heads"),  # more tokens than our lines are drawn for
        ("model", many(tokens=130, heads=12), "heads"),
    ],
    ids=["many layers", "many tokens", "model"],
)
def test_above_the_cap_our_own_view_comes_with_a_message(view, given, ours):
    from attnlab.viz import views

    shown = show(given, view)
    why = f"BertViz's {view} view would take {given.weights.size:,} numbers"
    assert repr(shown).startswith(why)
    told = shown._repr_mimebundle_()
    assert told["text/plain"].startswith(why)
    assert told["text/html"].startswith("<p>BertViz&#x27;s") and "attnlab-bertviz" not in told["text/html"]
    assert told["text/html"].endswith(getattr(views, ours)(given)._repr_mimebundle_()["text/html"])


def test_the_cap_counts_queries_and_keys_of_the_neuron_view():
    from attnlab.viz import views

    given = record(layers=1, heads=1, width=MOST_NUMBERS // 8)
    assert show(given, "head").page
    shown = show(given, "neuron")
    assert "BertViz's neuron view would take 200,016 numbers" in shown.message
    assert type(shown.view) is type(views.neuron(given))


def test_another_bertviz_is_told_apart_from_the_one_that_is_known():
    with pytest.raises(RuntimeError, match=r"attnlab knows version 1\.4\.1"):
        drawing._taken_apart("<p>Another page</p>", "bertviz-head-0")


def test_vendored_scripts_are_those_of_their_projects():
    told = dict(re.findall(r"## (\S+\.js)\n.*?`([0-9a-f]{64})`", (VENDOR / "ORIGIN.md").read_text(), re.DOTALL))
    assert sorted(told) == sorted(path.name for path in VENDOR.glob("*.js"))
    for name, digest in told.items():
        script = (VENDOR / name).read_bytes()
        assert hashlib.sha256(script).hexdigest() == digest
        assert not re.search(rb"</script|<!--", script), f"{name} would end the script it is put into"
