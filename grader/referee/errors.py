"""Exceptions across the gap: type, message and the lines they passed, as data, and raised again over there."""

from __future__ import annotations

import builtins
import traceback
from functools import lru_cache
from typing import Any

MAX_MESSAGE = 2000
MAX_FRAMES = 30


class RemoteError(Exception):
    """An exception of the other side. `remote_frames` are its (traceback.FrameSummary), outermost first."""

    remote_frames: list[traceback.FrameSummary]

    def __str__(self) -> str:
        return self.args[0]


def as_data(error: BaseException) -> dict:
    """What the other side may know of an exception. Never raises, whatever the exception's own methods do."""
    try:
        message = str(error)[:MAX_MESSAGE]
    except BaseException:
        message = ""
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    return {
        "type": type(error).__name__[:100],
        "bases": [base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins"],
        "message": message,
        "frames": [[f.filename[-300:], f.lineno or 0, f.name[:100], (f.line or "")[:300]] for f in frames],
    }


def raised(data: Any) -> RemoteError:
    """The exception to raise for such data, whatever the data are; a caller's `except ValueError` catches it."""
    data = data if isinstance(data, dict) else {}
    name = _text(data.get("type"), 100)
    bases = data.get("bases") if isinstance(data.get("bases"), list) else []
    base = next((b for b in bases if isinstance(b, str) and b in _KNOWN), "Exception")
    error = _kind(name if name.isidentifier() else "Exception", base)(_text(data.get("message"), MAX_MESSAGE))
    error.remote_frames = [frame for frame in map(_frame, data.get("frames") or []) if frame][:MAX_FRAMES]
    return error


def _text(value: Any, most: int) -> str:
    return value[:most] if isinstance(value, str) else ""


def _frame(row: Any) -> traceback.FrameSummary | None:
    if not (isinstance(row, list) and len(row) == 4 and type(row[1]) is int):
        return None
    file, number, name, line = row
    return traceback.FrameSummary(_text(file, 300), number, _text(name, 100), line=_text(line, 300))


# Exceptions that are made from a message alone, and that mean nothing to the code that they pass.
_KNOWN = {
    name
    for name, kind in vars(builtins).items()
    if isinstance(kind, type)
    and issubclass(kind, Exception)
    and not issubclass(kind, UnicodeError | BaseExceptionGroup | StopIteration | StopAsyncIteration)
}


@lru_cache(maxsize=256)  # a student may invent names without end
def _kind(name: str, base: str) -> type[RemoteError]:
    kind = getattr(builtins, base)
    return type(name, (RemoteError,) if kind is Exception else (RemoteError, kind), {})
