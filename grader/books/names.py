"""Names that come from outside and end up in a path or in a database column."""

from __future__ import annotations

import unicodedata

from grader.books.errors import GraderError

LONGEST = 128  # the width of nbgrader's columns; PostgreSQL refuses more, SQLite does not look


def plain_name(text: str, what: str) -> str:
    """The text itself, if it can be one part of a path and one value of a column; raises GraderError otherwise."""
    control = any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
    if 0 < len(text) <= LONGEST and not control and not set("/\\") & set(text) and text not in (".", ".."):
        return text
    raise GraderError(
        f"the name of a {what}",
        f"1 to {LONGEST} printable characters, no slash, not . or ..",
        repr(text[: LONGEST + 1]),
        f"Rename the {what}'s folder.",
    )
