"""Turns foreign text into HTML that shows it and nothing else, and frames a page that may load and run nothing.

Two walls, each enough on its own: all text is escaped here, and a content security policy forbids everything except
the style sheet whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence

from grader.pages.style import STYLE
from grader.visible import visible

FIELD = 2_000  # characters shown of a name, a sentence or a hint
NAME = 80  # ... of a name in a list
PEOPLE = 40  # names in a list of who; the others are counted
CODE = 20_000  # characters shown of one cell


def cut(text: str, limit: int = FIELD) -> str:
    """The first `limit` characters; where more are left out, it says how many."""
    text = str(text)
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text) - limit:,} more characters)"


def safe(text: str, limit: int = FIELD) -> str:
    """Foreign text for an element or a quoted attribute: cut, made visible, escaped."""
    return visible_html(cut(text, limit))


def visible_html(text: str) -> str:
    """A whole foreign text, made visible and escaped."""
    return html.escape(visible(text))


def number(value: float) -> str:
    """A number of points: 3, not 3.0, and at most two places."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def seconds(value: float) -> str:
    """A time in seconds with as many places as it deserves."""
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def lesson_name(lesson: str) -> str:
    """A lesson's name for people where no title is given: "05_self_attention" is "05 self attention"."""
    return lesson.replace("_", " ").strip() or "a lesson without a name"


def code_block(code: str, label: str) -> str:
    """A text as it was typed, HTML already. It can be scrolled by keyboard; `label` says what it is."""
    return f'<pre tabindex="0" role="group" aria-label="{safe(label)}" dir="ltr"><code>{code}</code></pre>'


def table(caption: str, head: Iterable[str], rows: Iterable[Iterable[str]], numeric: Iterable[int] = ()) -> str:
    """A table of cells that are HTML already; the first of each row is its heading. numeric: columns set right."""
    right = set(numeric)

    def cell(tag: str, place: int, content: str) -> str:
        scope = ' scope="col"' if tag == "col" else ' scope="row"' if place == 0 else ""
        name, kind = "th" if scope else "td", ' class="n"' if place in right else ""
        return f"<{name}{scope}{kind}>{content}</{name}>"

    top = "".join(cell("col", place, content) for place, content in enumerate(head))
    body = "".join(
        f"<tr>{''.join(cell('td', place, content) for place, content in enumerate(row))}</tr>" for row in rows
    )
    return f"<table><caption>{caption}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def scrolled(label: str, content: str) -> str:
    """A region that scrolls sideways by itself, by keyboard too, so that the page never does."""
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{safe(label)}">{content}</div>'


def section(key: str, heading: str, content: str) -> str:
    """A part of the page with its heading, both HTML already; key is an id that the page has once."""
    return f'<section class="card" aria-labelledby="{key}"><h2 id="{key}">{heading}</h2>{content}</section>'


def people(students: Sequence[str]) -> str:
    """Who it is: a few names as they are, more of them folded, and cut off behind PEOPLE names."""
    names = ", ".join(f"<bdi>{safe(student, NAME)}</bdi>" for student in students[:PEOPLE])
    if len(students) <= 3:
        return names
    more = f" and {len(students) - PEOPLE:,} more" if len(students) > PEOPLE else ""
    return f"<details><summary>{len(students):,} students</summary>{names}{more}</details>"


def page(title: str, body: str) -> str:
    """A whole document around a body that is HTML already; the title is plain text."""
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy()}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{safe(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def policy() -> str:
    """The content security policy: nothing is loaded, run, framed or sent; only our own style sheet holds."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
