"""What a mark depends on besides the submission: the tests, and the environment that they run in, as two hashes.

They are part of a mark's key in the journal: where one changes, the submission is marked again.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from grader.pipeline.closure import hash_of
from grader.referee.master import Master
from grader.settings import Settings

PACKAGES = Path(__file__).parents[1]
REFEREE = PACKAGES / "grader" / "referee"
COUNTED = ("torch", "numpy", "ipython", "matplotlib")


def tests_hash(master: Master, settings: Settings, every_cell: bool = False) -> str:
    """Of the released notebook, the checks that it imports and what those rest on, the referee, and its settings."""
    referee = [path.read_text(encoding="utf-8") for path in sorted(REFEREE.glob("*.py"))]
    rules = [settings.shortcuts, json.dumps([asdict(settings.limits), asdict(settings.budget)]), str(every_cell)]
    return hash_of([master.digest, *rules, *referee], ["\n".join(master.imports())], PACKAGES)


def environment_hash() -> str:
    """Of Python and the packages whose numbers a mark may rest on."""
    return hashlib.sha256(json.dumps(environment()).encode()).hexdigest()


def environment() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in COUNTED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found
