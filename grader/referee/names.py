"""The name space that test cells run in: the course's own names here, the student's over there."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from grader.referee.proxies import CheckerLink


class Names(dict):
    """A global name space. A name that is not in it is asked for over there: a copy, or a proxy.

    imported: brings a name that the release's cells import into `own`, and says whether there is such a one.

    Copies are taken once a test cell, so that nothing can change between a look and the next. `missing` collects the
    names that the submission never bound.
    """

    def __init__(
        self,
        own: dict[str, Any],
        solved: set[str],
        ours: set[str] = frozenset(),
        imported: Callable[[str], bool] = lambda name: False,
    ):
        super().__init__(own)
        self._own, self._imported = own, imported
        self._ours = ours  # what the course's locked cells define: never taken from over there
        self.link: CheckerLink | None = None
        self.missing: set[str] = set()
        self.prepared = False  # have the course's helpers been run in it?
        self._solved = solved  # what students define: asked for over there even where Python has a builtin of that name
        self._fetched: set[str] = set()

    def __missing__(self, name: str) -> Any:
        if self._imported(name):
            self[name] = self._own[name]
            return self[name]
        if name in self._ours or name.startswith("__") or (hasattr(builtins, name) and name not in self._solved):
            raise KeyError(name)
        answer, blobs = self.link.ask({"op": "fetch", "name": name})
        if answer.get("missing") is True:
            self.missing.add(name)
            raise KeyError(name)
        self[name] = self.link.read(answer, blobs)
        self._fetched.add(name)
        return self[name]

    def forget(self) -> None:
        """Drop what came from over there, before the next test cell."""
        for name in self._fetched:
            self.pop(name, None)
        self._fetched.clear()
        self.missing.clear()
