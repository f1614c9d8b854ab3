"""The table: GRADER's 62 threats, in order, each with what is tried or why it cannot arise."""

from __future__ import annotations

from tests.redteam.case import Threat
from tests.redteam.on_checks import ON_CHECKS
from tests.redteam.on_machine import ON_MACHINE
from tests.redteam.on_paper import ON_PAPER

THREATS: tuple[Threat, ...] = tuple(sorted((*ON_CHECKS, *ON_MACHINE, *ON_PAPER), key=lambda threat: threat.number))
