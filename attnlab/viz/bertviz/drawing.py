"""What BertViz makes of a record: its markup, its numbers and its script, taken apart."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from attnlab.viz.record import AttentionRecord

PARAMS = "const params = "
LOADER = re.compile(r"require\.config\(\{.*?\}\);\s*", re.DOTALL)  # where on the web D3 and jQuery lie


class Drawing(NamedTuple):
    """markup: the elements that the script fills. params: JSON, which the script reads as window.bertviz_params."""

    markup: str
    params: str
    script: str
    height: int


def drawing(record: AttentionRecord, view: str) -> Drawing:
    """BertViz's "head", "model" or "neuron" view of a record, the same text for the same record."""
    name = f"bertviz-{view}-{record.digest}"
    if view == "neuron":
        parts = _markup_of_neuron_view(name), json.dumps(_params_of_neuron_view(record, name)), _script("neuron_view")
    else:
        parts = _taken_apart(_html(record, view), name)
    markup, params, script = parts
    script, loaders = LOADER.subn("", script)
    if loaders != 1:
        raise _not_as_expected("the lines that load D3 and jQuery")
    return Drawing(markup, _compact(params), script, _height(record, view))


# ---------------------------------------------------------------------- head view and model view


def _html(record: AttentionRecord, view: str) -> str:
    """BertViz's own page, from BertViz's own function."""
    import bertviz
    import torch

    draw, more = (bertviz.head_view, {}) if view == "head" else (bertviz.model_view, {"display_mode": "light"})
    layers = [torch.tensor(layer[None]) for layer in record.weights]  # a batch of one, as models return it
    queries, keys = list(record.query_names), list(record.key_names)
    if record.kind == "self" and queries == keys:
        return draw(layers, queries, html_action="return", **more).data
    sides = {"cross_attention": layers, "decoder_tokens": queries, "encoder_tokens": keys}
    return draw(**sides, html_action="return", **more).data


def _taken_apart(page: str, name: str) -> tuple[str, str, str]:
    """BertViz's page as markup, numbers and script.

    The numbers stand there twice on one line, the second time in a comment; and the id is a random one.
    """
    found = re.search(r'(<div id="bertviz-.*)<script type="text/javascript">(.*)</script>', page, re.DOTALL)
    if not found or found[2].count(PARAMS) != 1:
        raise _not_as_expected("its markup, then one script that begins with its numbers")
    markup, script = found.groups()
    before, after = script.split(PARAMS)
    line, rest = after.split("\n", 1)
    params, _ = json.JSONDecoder().raw_decode(line)
    script = f"{before}{PARAMS}window.bertviz_params;\n{rest}"
    random, params["root_div_id"] = params["root_div_id"], name
    return markup.replace(random, name), json.dumps(params), script


def _not_as_expected(what: str) -> RuntimeError:
    from importlib.metadata import version

    return RuntimeError(
        f"Expected from BertViz {what}, got something else from version {version('bertviz')}. "
        "attnlab knows version 1.4.1: pip install 'bertviz==1.4.1'"
    )


# ---------------------------------------------------------------------- neuron view


def _markup_of_neuron_view(name: str) -> str:
    """The elements that neuron_view.js looks for."""
    return (
        f'<div id="{name}"><label class="dropdown-label">Layer: <select id="layer"></select></label> '
        '<label class="dropdown-label">Head: <select id="att_head"></select></label><div id="vis"></div></div>'
    )


def _params_of_neuron_view(record: AttentionRecord, name: str) -> dict[str, Any]:
    """What neuron_view.js reads. BertViz fills it from its own models only; a record has all of it."""
    from bertviz.util import format_special_chars

    attention = {
        "attn": record.weights.tolist(),
        "queries": record.queries.tolist(),
        "keys": record.keys.tolist(),
        "left_text": format_special_chars(record.query_names),
        "right_text": format_special_chars(record.key_names),
    }
    return {
        "attention": {"all": attention},
        "default_filter": "all",
        "root_div_id": name,
        "bidirectional": not _looks_back_only(record),
        "display_mode": "light",
        "layer": None,
        "head": None,
    }


def _looks_back_only(record: AttentionRecord) -> bool:
    """Whether the mask is causal: of one sequence, no token sees a later one."""
    return record.kind == "self" and not np.triu(record.visible, 1).any()


def _script(view: str) -> str:
    return resources.files("bertviz").joinpath(f"{view}.js").read_text(encoding="utf-8")


# ---------------------------------------------------------------------- sizes


def _compact(params: str) -> str:
    """The same JSON with four digits a number, which is more than an eye can tell apart."""
    short = json.loads(params, parse_float=lambda digits: float(f"{float(digits):.4g}"))
    return json.dumps(short, separators=(",", ":"))


def _height(record: AttentionRecord, view: str) -> int:
    """Pixels that the picture needs, from the sizes in BertViz's scripts; a frame cannot find out by itself."""
    layers, heads, queries, keys = record.shape
    longest = max(queries, keys)
    if view == "head":
        return round(22.5 * longest) + 80
    if view == "neuron":
        return 26 * longest + 150
    small, enlarged = layers * (longest * 7 * 12 / heads + 10), longest * 18 + 55
    return round(max(small + 43, enlarged)) + 50
