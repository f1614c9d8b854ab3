"""Writes pages so that a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> Path:
    """Write the text beside its place and move it there; makes the folder. Returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def one_folder(name: str, what: str) -> str:
    """The name if it is one plain part of a path. Raises ValueError otherwise."""
    if name in ("", ".", "..") or any(character in name for character in "/\\\0"):
        raise ValueError(f"Expected a {what} whose name can be a folder, got {name!r:.80}. Rename what was handed in.")
    return name
