"""From an answer to a report: run the cases, ask the laws, add the points, name the mistake."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from attnlab.checks.diagnosis import diagnose, reference_run
from attnlab.checks.exercise import Case, Exercise
from attnlab.checks.gates import gated
from attnlab.checks.laws import Seen, broken_laws
from attnlab.checks.observe import SECONDS, Fault, Observation, observe
from attnlab.checks.report import Report
from attnlab.checks.shrink import smallest_example


def mark(exercise: Exercise, answer: Any, seed: int = 0, diagnosed: bool = True, example: bool = True) -> Report:
    """The report on an answer under the draws of a seed. Never raises because of the answer.

    `diagnosed=False` leaves out the search for the mistake, which a mark does not need; `example=False` the search for
    the smallest example, which would show what was drawn.
    """
    start = time.perf_counter()
    cases, want = reference_run(exercise, seed)
    seen = Seen(cases, _observe_all(exercise, answer, cases, want), want, exercise.returns)
    broken = broken_laws(exercise.laws, seen)
    report = Report(
        name=exercise.full_name,
        hunt=exercise.hunt,
        raised=any(o.fault and o.fault.kind == "raised" for o in seen.got.values()),
        attempted=not any(o.fault and o.fault.kind == "not attempted" for o in seen.got.values()),
        points=sum(law.points for law in exercise.laws if law.name not in broken),
        max_points=exercise.points,
        laws={law.name: law.name not in broken for law in exercise.laws},
        broken=broken,
        printed=next((o.printed for o in seen.got.values() if o.printed), ""),
    )
    report.fault = _fault_everywhere(seen)
    if broken and diagnosed and report.attempted and report.fault not in UNJUDGED:
        report.diagnosed = diagnose(exercise, seen, seed, frozenset(broken))
        if example and report.diagnosed.certainty in ("same laws", "unknown"):
            report.example = smallest_example(exercise, answer, seen)
    report.seconds = time.perf_counter() - start
    return report


UNJUDGED = ("not callable", "hang", "nothing", "type", "raised")  # the sentence about the fault says it all


def _fault_everywhere(seen: Seen) -> str:
    """The kind of fault that every case ended in, where they all ended in one (a wrong shape can be judged)."""
    kinds = {observation.fault.kind if observation.fault else "" for observation in seen.got.values()}
    return kinds.pop() if len(kinds) == 1 and "shape" not in kinds else ""


def _observe_all(
    exercise: Exercise, answer: Any, cases: dict[str, Case], want: dict[str, Observation]
) -> dict[str, Observation]:
    """Every case, within one time limit for all; a hang or an unwritten answer is not tried again."""
    if not callable(answer):
        message = f"Expected the function or class `{exercise.name}`, got {answer!r:.80}. Pass it without calling it."
        return dict.fromkeys(cases, Observation(fault=Fault("not callable", message)))
    seen: dict[str, Observation] = {}
    stop = time.perf_counter() + SECONDS
    for name, case in cases.items():
        seen[name] = _observe_one(exercise, answer, case, want[name], stop - time.perf_counter())
        fault = seen[name].fault
        if fault is not None and fault.kind in ("hang", "not attempted"):
            return dict.fromkeys(cases, Observation(fault=fault)) | seen
    return seen


def _observe_one(exercise: Exercise, answer: Callable, case: Case, want: Observation, seconds: float) -> Observation:
    return gated(exercise.answer, exercise.returns, case, observe(answer, case, max(seconds, 0.05)), want)
