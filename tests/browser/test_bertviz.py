"""BertViz's three views of the pretrained MiniLM, from a saved page, with the network cut off.

pytest tests/browser -k bertviz        about half a minute; ATTNLAB_SCREENSHOTS=folder keeps the pictures
"""

import numpy as np
import pytest
from playwright.sync_api import expect

from attnlab.data import minilm_folder
from attnlab.viz.bertviz import show
from attnlab.viz.record import AttentionRecord

pytest.importorskip("bertviz", reason="the extra is not installed: pip install 'attnlab[bertviz]'")
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

SENTENCE = "The cat sat on the mat because it was tired."
DARK = "<!doctype html><html><body style='background: #111; color: #ddd'>"


@pytest.fixture(scope="module")
def record() -> AttentionRecord:
    """MiniLM reading one sentence: 6 layers of 12 heads, with queries and keys."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
    model = AutoModel.from_pretrained(minilm_folder(), attn_implementation="eager").eval()
    inputs = tokenizer(SENTENCE, return_tensors="pt")
    with torch.no_grad():
        told = model(**inputs, output_attentions=True, output_hidden_states=True)
        read = list(zip(model.encoder.layer, told.hidden_states[:-1], strict=True))
        sides = [[getattr(layer.attention.self, side)(x) for layer, x in read] for side in ("query", "key")]
    heads, width = model.config.num_attention_heads, model.config.hidden_size // model.config.num_attention_heads
    queries, keys = (torch.cat(side).unflatten(-1, (heads, width)).transpose(1, 2) for side in sides)
    weights, scale = torch.cat(told.attentions), width**-0.5
    torch.testing.assert_close((queries @ keys.mT * scale).softmax(-1), weights)
    words = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    return AttentionRecord(
        torch.cat(told.attentions), query_labels=words, queries=queries, keys=keys, scale=width**-0.5
    )


@pytest.fixture
def opened(browser, tmp_path):
    """opened(output) -> the page with the output, saved and opened from the disk, and what went wrong in it."""
    context = browser.new_context(offline=True, viewport={"width": 1100, "height": 780})

    def opened(shown):
        saved = tmp_path / "saved.html"
        saved.write_text(DARK + shown._repr_mimebundle_()["text/html"], encoding="utf-8")
        page, wrong = context.new_page(), []
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if request.url != saved.as_uri() else None)
        page.route("**/*", lambda route: route.continue_() if route.request.url == saved.as_uri() else route.abort())
        page.goto(saved.as_uri())
        return page, page.frame_locator("iframe.attnlab-bertviz"), wrong

    yield opened
    context.close()


def opacities(lines) -> np.ndarray:
    return np.array(lines.evaluate_all("lines => lines.map(line => +line.getAttribute('stroke-opacity'))"))


def seen(lines) -> int:
    return lines.evaluate_all("lines => lines.filter(line => getComputedStyle(line).visibility == 'visible').length")


def test_the_head_view_draws_every_weight_and_answers_to_the_mouse(opened, record, picture):
    layers, heads, tokens, _ = record.shape
    page, frame, wrong = opened(show(record, "head"))
    lines = frame.locator("#attention line")
    expect(lines).to_have_count(heads * tokens * tokens)
    assert frame.locator("svg").count() == 1
    assert frame.locator("#left text").all_text_contents() == list(record.query_names)
    np.testing.assert_allclose(opacities(lines) * heads, record.weights[0].ravel(), rtol=1e-3)
    picture(page, "bertviz-1-head")

    frame.locator("#left text", has_text="it").last.hover()
    assert seen(lines) == heads * tokens, "only the lines of the token under the mouse"
    picture(page, "bertviz-2-head-hover")
    frame.locator("body").hover(position={"x": 600, "y": 20})
    assert seen(lines) == heads * tokens * tokens

    frame.locator("#layer").select_option("3")
    np.testing.assert_allclose(
        opacities(frame.locator("#attention line")) * heads, record.weights[3].ravel(), rtol=1e-3
    )
    frame.locator("svg > g").last.locator("rect").nth(5).dblclick()
    alone = opacities(lines).reshape(heads, tokens, tokens)
    np.testing.assert_allclose(alone[5], record.weights[3, 5], rtol=1e-3)
    assert not np.delete(alone, 5, axis=0).any()
    picture(page, "bertviz-3-head-one-head")
    assert wrong == []


def test_the_model_view_draws_all_heads_and_enlarges_one(opened, record, picture):
    page, frame, wrong = opened(show(record, "model"))
    lines = frame.locator("line")
    expect(lines).to_have_count(record.weights.size)
    np.testing.assert_allclose(opacities(lines), record.weights.ravel(), rtol=1e-3)
    picture(page, "bertviz-4-model")

    frame.locator("#attn_background_2_3 ~ rect").click()
    expect(frame.locator("text.detail")).to_have_text("Layer 2, Head 3")
    assert frame.locator(".detail text.token").all_text_contents() == [*record.query_names, *record.key_names]
    picture(page, "bertviz-5-model-detail")
    assert wrong == []


def test_the_neuron_view_works_out_the_products_of_a_record(opened, record, picture):
    tokens = record.shape[2]
    page, frame, wrong = opened(show(record, "neuron"))
    np.testing.assert_allclose(opacities(frame.locator("#collapsed line")), record.weights[0, 0].ravel(), rtol=1e-3)
    frame.locator("#layer").select_option("2")
    frame.locator("#att_head").select_option("4")
    frame.locator("#collapsed #leftText text").nth(3).hover()
    picture(page, "bertviz-6-neuron")
    frame.locator("#collapsed #leftText rect[height='16']").nth(3).click()  # the plus sign
    frame.locator("#expanded #leftText text").nth(3).hover()
    expect(frame.locator("#expanded")).to_have_attribute("visibility", "visible")
    products = frame.locator("#dotproducts rect").evaluate_all("boxes => boxes.map(box => +box.dataset.value)")
    expected = record.keys[2, 4] @ record.queries[2, 4, 3] * record.scale
    np.testing.assert_allclose(products, expected, atol=5e-3)
    elements = frame.locator("#expanded #product .element")
    assert elements.count() == tokens * record.queries.shape[-1]
    picture(page, "bertviz-7-neuron-expanded")
    assert wrong == []


def test_cross_attention_draws_two_sentences(opened, picture):
    weights = np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 4, 7)).astype(np.float32)
    given = AttentionRecord(
        weights, kind="cross", query_labels="the cat sat on a mat .".split(), key_labels=["le", "chat", "assis"]
    )
    for view in ("head", "model"):
        page, frame, wrong = opened(show(given, view))
        expect(frame.locator("line")).to_have_count(given.weights[0].size if view == "head" else given.weights.size)
        picture(page, f"bertviz-8-cross-{view}")
        assert wrong == []


@pytest.mark.parametrize("view", ["head", "model", "neuron"])
def test_on_a_dark_page_the_frame_is_dark_on_white_and_nothing_is_cut_off(opened, record, view):
    page, frame, wrong = opened(show(record.select(layer=[0, 1], query=slice(8), key=slice(8)).renormalised(), view))
    frame.locator("svg").wait_for()
    assert page.locator("iframe").evaluate("frame => getComputedStyle(frame).backgroundColor") == "rgb(255, 255, 255)"
    assert frame.locator("html").evaluate("html => getComputedStyle(html).backgroundColor") == "rgb(255, 255, 255)"
    colours = frame.locator("text").evaluate_all(
        "words => words.map(word => getComputedStyle(word).fill.match(/\\d+/g).map(Number))"
    )
    assert np.max(colours) < 64, "dark words"
    room = frame.locator("html").evaluate("html => [html.scrollHeight - html.clientHeight]")
    assert room == [0]
    page.locator("summary").first.click()
    expect(page.locator("figure.attnlab-figure img")).to_be_visible()
    assert wrong == []


@pytest.mark.parametrize("view", ["model", "neuron"])
def test_on_a_narrow_page_wide_views_scroll_inside_the_frame(opened, record, view):
    page, frame, wrong = opened(show(record.select(layer=0), view))
    page.set_viewport_size({"width": 600, "height": 780})
    last = frame.locator("svg text").last
    last.scroll_into_view_if_needed()
    expect(last).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth <= 600"), "the page itself stays as wide as it is"
    assert wrong == []


def test_a_hostile_token_is_drawn_as_text(opened, picture):
    words = ("</script><b>", "<img src=x onerror=alert(1)>", "</iframe>")
    given = AttentionRecord(np.full((1, 1, 3, 3), 1 / 3), query_labels=words)
    page, frame, wrong = opened(show(given, "head"))
    assert frame.locator("#left text").all_text_contents() == list(words)
    assert frame.locator("b, img").count() == 0
    picture(page, "bertviz-9-hostile")
    assert wrong == []
