"""The list of similar answers as a page: both texts side by side, common parts marked, for a person to judge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from grader.files import write_whole
from grader.pages.markup import CODE, NAME, code_block, number, page, people, safe, section, table, visible_html
from grader.pages.similar import Comparison, Pair, common_spans

SHOWN = 50  # pairs side by side
ROWS = 200  # pairs in the list

WHAT_IT_SAYS = (
    "This is a list for a person to look at. It is no verdict: two people can write the same few lines on their own, "
    "above all where there are few ways to be right, or where they were taught the same one. Names, comments, layout "
    "and what was handed out do not count, and neither does what a good part of the class wrote."
)


def write_similar(
    comparison: Comparison,
    sources: Mapping[str, Mapping[str, str]],
    stubs: Mapping[str, str],
    reference: Mapping[str, str],
    path: Path,
) -> Path:
    """Write the page to `path`, and the list as JSON beside it (similar.html, similar.json). Returns the path."""
    write_whole(Path(path).with_suffix(".json"), json.dumps(comparison.to_dict(), indent=1) + "\n")
    return write_whole(Path(path), similar_page(comparison, sources, stubs, reference))


def similar_page(
    comparison: Comparison,
    sources: Mapping[str, Mapping[str, str]],
    stubs: Mapping[str, str],
    reference: Mapping[str, str],
) -> str:
    """The page as one HTML document; sources, stubs and reference: the texts that were compared."""
    parts = [f'<header><h1>Similar answers</h1></header><div class="box calm"><p>{safe(WHAT_IT_SAYS)}</p></div>']
    parts.append(_list(comparison.pairs))
    for place, pair in enumerate(comparison.pairs[:SHOWN], start=1):
        left = sources[pair.left][pair.exercise]
        right = reference[pair.exercise] if pair.reference else sources[pair.right][pair.exercise]
        parts.append(_side_by_side(place, pair, left, right, stubs.get(pair.exercise, "")))
    parts.append(_too_short(comparison.too_short))
    return page("Similar answers", f'<main class="wide">{"".join(parts)}</main>')


def _list(pairs: list[Pair]) -> str:
    if not pairs:
        return "<p>No two answers have enough in common to be listed.</p>"
    rows = [
        (_linked(place, pair), _share(pair), f"{pair.common:,}") for place, pair in enumerate(pairs[:ROWS], start=1)
    ]
    more = f"<p>… and {len(pairs) - ROWS:,} more, in the JSON beside this page.</p>" if len(pairs) > ROWS else ""
    caption = "Share and count: the rare fingerprints of the shorter answer that both have"
    return f"<h2>Most alike first</h2>{table(caption, ('Pair', 'Share', 'Count'), rows, [1, 2])}{more}"


def _linked(place: int, pair: Pair) -> str:
    return f'<a href="#pair-{place}">{_names(pair)}</a>' if place <= SHOWN else _names(pair)


def _names(pair: Pair) -> str:
    return f"{safe(pair.exercise, NAME)}: <bdi>{safe(pair.left, NAME)}</bdi> and <bdi>{safe(pair.right, NAME)}</bdi>"


def _share(pair: Pair) -> str:
    return f"{number(100 * pair.share)} %"


def _side_by_side(place: int, pair: Pair, left: str, right: str, stub: str) -> str:
    spans = common_spans(left, right, stub)
    texts = ((pair.left, "left", left, spans[0]), (pair.right, "right", right, spans[1]))
    blocks = "".join(
        f"<div><h3><bdi>{safe(who, NAME)}</bdi></h3>{code_block(_marked(text, where), f'Pair {place}, {side}')}</div>"
        for who, side, text, where in texts
    )
    told = f"Both have {_share(pair)} of the rare fingerprints of the shorter answer ({pair.common:,})."
    content = f'<p>{told}</p><div class="pair">{blocks}</div>'
    return section(f"pair-{place}", f"{place}. {_names(pair)}", content)


def _marked(text: str, spans: list[tuple[int, int]]) -> str:
    """The text, escaped, with <mark> around the spans; cut like all code."""
    shown, parts, done = text[:CODE], [], 0
    for start, end in spans:
        parts += [
            visible_html(shown[done:start]),
            f"<mark>{visible_html(shown[start:end])}</mark>" if shown[start:end] else "",
        ]
        done = end
    parts.append(visible_html(shown[done:]))
    left_out = len(text) - len(shown)
    return "".join(parts) + (f" … ({left_out:,} more characters)" if left_out else "")


def _too_short(too_short: Mapping[str, list[str]]) -> str:
    if not too_short:
        return ""
    items = "".join(f"<li>{safe(exercise, NAME)}: {people(students)}</li>" for exercise, students in too_short.items())
    told = "Answers of a line or two look alike in any class, so these were not compared."
    return section("short", "Too short to say", f"<p>{told}</p><ul>{items}</ul>")
