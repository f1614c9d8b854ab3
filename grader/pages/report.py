"""The instructor's page about a whole class: marks, laws, misconceptions, faults, times, and what needs a person."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from grader.files import write_whole
from grader.pages.figures import bars, columns
from grader.pages.markup import cut, lesson_name, number, page, people, safe, scrolled, seconds, section, table
from grader.pages.summary import BINS, summary
from grader.referee.result import Result, Verdict

ROWS = 60  # rows of a table of things found; the others are counted
OPEN = 12  # entries of a list for a person that are shown unfolded
LAWS = 30  # laws drawn for an exercise
SENTENCE = 300  # characters of a sentence or of a staff field

SAID = {
    Verdict.MANUAL: "A person has to mark these",
    Verdict.GRADER_FAULT: "The grader itself failed here: mark these again",
    Verdict.UNREADABLE: "No notebook could be read: ask for the file again",
}


def write_report(results: Iterable[Result], path: Path, titles: Mapping[str, str] | None = None) -> Path:
    """Write the page to `path`, and its numbers as JSON beside it (report.html, report.json). Returns the path."""
    counted = summary(results)
    write_whole(Path(path).with_suffix(".json"), json.dumps(counted, indent=1) + "\n")
    return write_whole(Path(path), _page(counted, titles or {}))


def report_page(results: Iterable[Result], titles: Mapping[str, str] | None = None) -> str:
    """The page as one HTML document; titles: of lessons by their names, made from the names where missing."""
    return _page(summary(results), titles or {})


def _page(counted: dict[str, Any], titles: Mapping[str, str]) -> str:
    several = f"{_several(counted['results'], 'submission')} of {_several(counted['students'], 'student')}"
    head = f'<header><h1>Marking report</h1><p class="soft">{several}.</p></header>'
    if not counted["results"]:
        return page("Marking report", f"<main>{head}<p>Nothing has been marked yet.</p></main>")
    named = [(titles.get(lesson["lesson"]) or lesson_name(lesson["lesson"]), lesson) for lesson in counted["lessons"]]
    links = "".join(
        f'<li><a href="#lesson-{place}">{safe(title)}</a> ({_several(lesson["results"], "submission")})</li>'
        for place, (title, lesson) in enumerate(named, start=1)
    )
    contents = f'<nav aria-label="Lessons"><ul>{links}</ul></nav>' if len(named) > 1 else ""
    body = "".join(_lesson(f"lesson-{place}", *both) for place, both in enumerate(named, start=1))
    return page("Marking report", f"<main>{head}{contents}{body}</main>")


def _lesson(key: str, title: str, lesson: dict[str, Any]) -> str:
    parts = (
        _for_a_person(lesson["for_a_person"]),
        _marks(key, lesson),
        _verdicts(lesson),
        _mistakes(key, lesson),
        _laws(key, lesson),
        _times(lesson),
        _told("Shortcuts reported", ("Exercise", "Shortcut", "Students"), lesson["shortcuts"]),
        _told("Notes given to students", ("Note", "Students"), lesson["notes"]),
    )
    return section(key, safe(title), "".join(parts))


def _for_a_person(entries: list[dict[str, str]]) -> str:
    """First of all: what nobody but a person can settle, by kind, then by student."""
    if not entries:
        return "<h3>Needs a person</h3><p>Nothing: every submission was read and marked.</p>"
    lists = []
    for verdict, said in SAID.items():
        those = sorted((entry for entry in entries if entry["verdict"] == verdict), key=lambda entry: entry["student"])
        if not those:
            continue
        items = "".join(f"<li>{_person(entry)}</li>" for entry in those[:ROWS])
        more = f"<li>… and {len(those) - ROWS:,} more</li>" if len(those) > ROWS else ""
        whole = _folded(len(those), f"<ul>{items}{more}</ul>")
        lists.append(f'<p class="label">{safe(said)} ({len(those):,})</p>{whole}')
    return f'<h3>Needs a person</h3><div class="box part">{"".join(lists)}</div>'


def _folded(count: int, content: str) -> str:
    """Long lists are folded away."""
    return content if count <= OPEN else f"<details><summary>Who</summary>{content}</details>"


def _person(entry: dict[str, str]) -> str:
    where = f", {safe(entry['grade_id'], SENTENCE)}" if entry["grade_id"] else ""
    staff = f': <span class="soft">{safe(entry["staff"], SENTENCE)}</span>' if entry["staff"] else ""
    return f"<bdi>{safe(entry['student'], SENTENCE)}</bdi>{where}{staff}"


def _marks(key: str, lesson: dict[str, Any]) -> str:
    marks = lesson["marks"]
    if not marks["marked"]:
        return "<h3>Marks</h3><p>No submission has a mark.</p>"
    edges = [f"{round(100 * place / BINS)}" for place in range(BINS)] + ["100"]
    rows = [
        (f"{low} to {high} %", f"{held:,}") for (low, high), held in zip(pairwise(edges), marks["bins"], strict=True)
    ]
    left_out = f" {marks['unmarked']:,} have no mark and are not drawn." if marks["unmarked"] else ""
    told = (
        f"<p>Median {_percent(marks['median'])}, mean {_percent(marks['mean'])} of the points; "
        f"{marks['full']:,} with all, {marks['none']:,} with none.{left_out}</p>"
    )
    twin = table("Marks in percent of the points; the last row holds full marks too", ("Mark", "Students"), rows, [1])
    finding = (
        f"Half of the {_several(marks['marked'], 'mark')} are at {_percent(marks['median'])} of the points or above"
    )
    if marks["marked"] == 1:
        finding = f"The one mark is {_percent(marks['median'])} of the points"
    return f"<h3>Marks</h3>{columns(f'{key}-marks', finding, marks['bins'], edges, twin)}{told}"


def _verdicts(lesson: dict[str, Any]) -> str:
    """How submissions and exercises ended, faults by name."""
    rows = [
        (safe(exercise["title"], SENTENCE), _mean(exercise), _ended(exercise["verdicts"]))
        for exercise in lesson["exercises"]
    ]
    told = f"<h3>How exercises ended</h3><p>Submissions as a whole: {_ended(lesson['verdicts'])}.</p>"
    head = ("Exercise", "Mean points", "How the answers ended")
    return told + (table("The verdicts that were given, counted", head, rows, [1]) if rows else "")


def _ended(verdicts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {safe(verdict)}" for verdict, count in verdicts.items())


def _mean(exercise: dict[str, Any]) -> str:
    got = exercise["mean_points"]
    return f"{'–' if got is None else number(got)} of {number(exercise['max_points'])}"


def _laws(key: str, lesson: dict[str, Any]) -> str:
    drawn = [
        _exercise_laws(f"{key}-laws-{place}", exercise)
        for place, exercise in enumerate(lesson["exercises"], start=1)
        if exercise["laws"]
    ]
    if not drawn:
        return ""
    told = "<h3>Law by law</h3><p>Share of the answers for which each law held.</p>"
    return f'{told}<div class="figures">{"".join(drawn)}</div>'


def _exercise_laws(key: str, exercise: dict[str, Any]) -> str:
    laws = exercise["laws"][:LAWS]
    worst = min(laws, key=lambda law: law["share"])
    finding = f"{cut(exercise['title'], 80)}: “{cut(worst['law'], 80)}” held least often, {_share(worst)}"
    if worst["share"] == 1:
        finding = f"{cut(exercise['title'], 80)}: every law held for everybody"
    rows = [
        (f"{safe(law['law'], SENTENCE)}", safe(law["asks"], SENTENCE), number(law["points"]), _share(law))
        for law in laws
    ]
    told = table(safe(exercise["title"], SENTENCE), ("Law", "It asks", "Points", "Held"), rows, [2, 3])
    drawn = [(law["law"], law["share"], _share(law)) for law in laws]
    return bars(key, finding, drawn, scrolled(f"Laws of {exercise['title']}", told))


def _share(law: dict[str, Any]) -> str:
    return f"{law['held']:,} of {law['asked']:,}"


def _mistakes(key: str, lesson: dict[str, Any]) -> str:
    """The misconceptions of the class: each mistake that the diagnosis named, with what its author believes."""
    found = lesson["mistakes"]
    if not found:
        return "<h3>Misconceptions</h3><p>No mistake was named.</p>"
    rows = [
        (
            safe(entry["mistake"], SENTENCE),
            safe(entry["exercise"], SENTENCE),
            safe(entry["belief"], SENTENCE),
            f"{entry['count']:,}",
            f"{entry['exactly']:,}",
            people(entry["students"]),
        )
        for entry in found[:ROWS]
    ]
    first = found[0]
    where = f"“{cut(first['mistake'], 80)}” in {cut(first['exercise'], 80)}"
    finding = f"Most common: {where}{_others(found)}, {_several(first['count'], 'student')}"
    drawn = [(f"{e['mistake']} ({e['exercise']})", e["count"] / first["count"], f"{e['count']:,}") for e in found[:10]]
    head = ("Mistake", "Exercise", "What is believed", "Students", "Exactly", "Who")
    told = "Exactly: the same outputs as the mistake, or as two at once; for the others the same laws fail."
    twin = scrolled(f"Misconceptions, {lesson['lesson']}", table(told, head, rows, [3, 4])) + _more(len(found))
    return f"<h3>Misconceptions</h3>{bars(f'{key}-mistakes', finding, drawn, twin)}"


def _others(found: list[dict[str, Any]]) -> str:
    """How many mistakes are as common as the first one."""
    tied = sum(entry["count"] == found[0]["count"] for entry in found) - 1
    return f" and {_several(tied, 'other')}" if tied else ""


def _times(lesson: dict[str, Any]) -> str:
    rows = [(safe(exercise["title"], SENTENCE), *_time(exercise["seconds"])) for exercise in lesson["exercises"]]
    rows.append(("A whole submission", *_time(lesson["seconds"])))
    head = ("Exercise", "Median", "95 % within", "Slowest", "Whose")
    grid = table("Time taken", head, rows, [1, 2, 3])
    return "<h3>Time</h3>" + scrolled(f"Time, {lesson['lesson']}", grid)


def _time(taken: dict[str, Any]) -> tuple[str, ...]:
    whose = f"<bdi>{safe(taken['slowest_student'], 80)}</bdi>"
    return seconds(taken["median"]), seconds(taken["p95"]), seconds(taken["slowest"]), whose


def _told(title: str, head: tuple[str, ...], entries: list[dict[str, Any]]) -> str:
    if not entries:
        return f"<h3>{title}</h3><p>None.</p>"
    rows = [(*(safe(part, SENTENCE) for part in entry["what"]), people(entry["students"])) for entry in entries[:ROWS]]
    return f"<h3>{title}</h3>{scrolled(title, table('The commonest first', head, rows))}{_more(len(entries))}"


def _more(count: int) -> str:
    return f"<p>… and {count - ROWS:,} more of them.</p>" if count > ROWS else ""


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")
