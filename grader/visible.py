"""Makes text show what it holds: terminals, pages and notebooks then obey none of it."""

from __future__ import annotations

import re

# What a reader does not see, or what moves the letters around it: control characters but tab and newline, marks and
# overrides of the writing direction, zero-width characters, separators, tags, half characters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """The text with every character that hides or reorders others replaced by a visible sign for it."""
    return _UNSEEN.sub(_sign, text.replace("\r\n", "\n"))


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)  # Unicode's pictures of the control characters: ␀ for NUL, ␛ for escape
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"
