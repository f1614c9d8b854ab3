"""What to do with a submission, in the order of its own cells: run this one, leave that one out, check here.

Tests always come from the master. A cell that is marked as not needed for marks is left out, unless something that is
run needs a name that it defines: a student's helper is run wherever it was written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from grader.referee.master import Master, MasterCell
from grader.referee.result import CellRead
from grader.referee.wire import Malformed
from grader.tags import NOT_FOR_MARKS

ROUNDS = 20


@dataclass
class Step:
    """Run the cell at this place of the submission, or check the exercise of this master cell."""

    cell: int | None = None
    check: MasterCell | None = None


@dataclass
class Plan:
    cells: list[CellRead]
    steps: list[Step]
    defines: list[set[str]]  # cell by cell
    notes: list[str] = field(default_factory=list)
    left_out: bool = False  # is a cell that the student wrote or changed not run?


@dataclass
class _Read:
    """A cell as the student process read it, with the types checked."""

    kind: str
    text: str
    grade_id: str
    tags: list[str]
    defines: set[str]
    certain: set[str]
    needs: set[str]
    late: set[str]


def checked(rows: Any) -> list[_Read]:
    """The answer to "read", once its types are what they should be. Raises Malformed."""
    if not isinstance(rows, list):
        raise Malformed("expected a list of cells")
    return [_checked(row) for row in rows]


def _checked(row: Any) -> _Read:
    texts = {key: row.get(key) for key in ("kind", "text", "grade_id")} if isinstance(row, dict) else {}
    if not texts or not all(isinstance(text, str) for text in texts.values()):
        raise Malformed("a cell that is none")
    lists = {key: row.get(key) for key in ("tags", "defines", "certain", "needs", "late")}
    if not all(isinstance(names, list) and all(isinstance(n, str) for n in names) for names in lists.values()):
        raise Malformed("a cell that is none")
    tags = lists.pop("tags")
    return _Read(**texts, tags=tags, **{key: set(names) for key, names in lists.items()})


def make_plan(read: list[_Read], master: Master, every_cell: bool = False, own_cells: bool = False) -> Plan:
    """The steps for a submission. `every_cell` leaves nothing out; `own_cells` nothing that the student wrote."""
    notes: list[str] = []
    known, seen = master.by_id, set()
    cells, roles = [], []
    for cell in read:
        stamped = known.get(cell.grade_id)
        if stamped is not None and cell.grade_id in seen:
            notes.append(f"The cell `{cell.grade_id}` is there more than once; the first one counts.")
            stamped, copy_of_test = None, stamped.tests
        else:
            copy_of_test = False
        if stamped is not None:
            seen.add(cell.grade_id)
            if (stamped.locked or stamped.tests) and cell.text != stamped.text:
                notes.append(f"The cell `{cell.grade_id}` was changed; the course's own was used.")
                cell.text = stamped.text
        roles.append((stamped, copy_of_test))
        own = cell.text != stamped.text if stamped is not None else cell.text not in master.texts()
        cells.append(CellRead(cell.kind, cell.text, cell.grade_id if stamped else "", own))
    run = _to_run(read, roles, master, every_cell, {i for i, cell in enumerate(cells) if cell.own and own_cells})
    steps = [
        Step(check=stamped) if stamped is not None and stamped.tests else Step(cell=i)
        for i, (stamped, _) in enumerate(roles)
        if i in run or (stamped is not None and stamped.tests)
    ]
    for cell in master.cells:
        if cell.tests and cell.grade_id not in seen:
            notes.append(f"The cell `{cell.grade_id}` was missing; the course's own was used.")
            steps.append(Step(check=cell))
    left_out = any(cells[i].own for i in _able(read, roles) - run)
    return Plan(cells, steps, [cell.defines for cell in read], notes, left_out)


def _able(read: list[_Read], roles: list) -> set[int]:
    """The places of the code cells that are the student's to run: all but tests and copies of tests."""
    return {
        i
        for i, (cell, (stamped, copy_of_test)) in enumerate(zip(read, roles, strict=True))
        if cell.kind == "code" and cell.text.strip() and not copy_of_test and not (stamped and stamped.tests)
    }


def _to_run(read: list[_Read], roles: list, master: Master, every_cell: bool, wanted: set[int]) -> set[int]:
    """The places of the cells to run."""
    able = _able(read, roles)
    if every_cell:
        return able
    run = {i for i in able if i in wanted or roles[i][0] is not None or NOT_FOR_MARKS not in read[i].tags}
    for _ in range(ROUNDS):  # until nothing more is asked for
        more = able & _asked_for(read, run, master)
        if more <= run:
            return run
        run |= more
    return able  # a chain of names that no lesson has


def _asked_for(read: list[_Read], run: set[int], master: Master) -> set[int]:
    """The cells that define a name which a cell of `run`, a function in one, or a test looks up."""
    wanted = set().union(*(read[i].late for i in run), *(_names_in(cell) for cell in master.cells if cell.tests))
    asked = set()
    for i in reversed(range(len(read))):
        if i not in run and read[i].defines.isdisjoint(wanted):
            continue
        asked.add(i)
        wanted -= read[i].certain
        wanted |= read[i].needs
    return asked


def _names_in(cell: MasterCell) -> set[str]:
    from grader.referee.reading import names_of

    names = names_of(cell.text)
    return names.needs | names.late
