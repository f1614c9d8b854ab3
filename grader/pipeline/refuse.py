"""What no lesson may contain: each rule refuses with file, cell and the way out."""

import ast
from collections import Counter

from grader.pipeline.refusal import Refused
from grader.pipeline.source import Cell, Source
from grader.pipeline.stub import BEGIN, END, STUB, stubbed


def refuse(source: Source, lesson) -> None:
    """Raise Refused for the first thing in `source` that cannot become a lesson of `lesson`'s checks."""
    refuse_names_in_wrong_place(source)
    for cell in source.cells:
        refuse_raw(source, cell)
        refuse_markers(source, cell)
        refuse_python(source, cell)
    refuse_stubs(source)
    refuse_twice(source)
    refuse_pairs(source)
    refuse_unknown_names(source, lesson)
    refuse_unused_exercises(source, lesson)
    refuse_check_lines(source)


def refuse_names_in_wrong_place(source: Source) -> None:
    if source.path.parent.name != source.slug or not source.slug[:2].isdigit():
        raise Refused(
            str(source.path.name),
            "solutions/NN_slug/NN_slug.py, two digits first",
            f"{source.path.parent.name}/{source.path.name}",
            "Rename the folder or the file: both carry the lesson's name.",
        )


def refuse_raw(source: Source, cell: Cell) -> None:
    if cell.kind not in ("markdown", "code"):
        raise Refused(source.where(cell), "markdown or code", f"a {cell.kind} cell", "Write `# %% [markdown]`.")


def refuse_python(source: Source, cell: Cell) -> None:
    if not cell.is_code:
        return
    try:
        ast.parse(cell.text)
    except SyntaxError as error:
        raise Refused(
            source.where(cell),
            "Python",
            f"{error.msg} in its line {error.lineno}",
            "Magics (%, !) are not used in lessons: they do not run as a script.",
        ) from error


def refuse_markers(source: Source, cell: Cell) -> None:
    """Solution markers stand in exercise cells only, and each opening has its closing."""
    is_open = False
    for line in cell.text.split("\n"):
        opens, closes = "BEGIN SOLUTION" in line, "END SOLUTION" in line
        if not (opens or closes):
            continue
        if not cell.exercise:
            raise Refused(
                source.where(cell),
                "solution markers in exercise cells only",
                f"`{line.strip()}`",
                'Write `# %% exercise="name"` over the cell, or take the marker out.',
            )
        if line.strip() != (BEGIN if opens else END):
            raise Refused(
                source.where(cell),
                f"`{BEGIN if opens else END}` alone on its line",
                f"`{line.strip()}`",
                "Correct it.",
            )
        if opens and is_open:
            raise Refused(source.where(cell), f"`{END}` first", f"a second `{BEGIN}`", "Close the first region.")
        if closes and not is_open:
            raise Refused(
                source.where(cell),
                f"`{BEGIN}` first",
                f"`{END}`",
                "A region is closed twice or never opened.",
            )
        is_open = opens
    if is_open:
        raise Refused(source.where(cell), f"`{END}`", "the end of the cell", "Close the solution region.")


def refuse_stubs(source: Source) -> None:
    """What the learner finds must define something, and raise only when that is called."""
    for cell in source.code:
        if not cell.exercise:
            continue
        if BEGIN not in cell.text:
            raise Refused(
                source.where(cell),
                f"a solution region in exercise {cell.exercise!r}",
                "none, so the learner would be given the answer",
                f"Put `{BEGIN}` and `{END}` round what the learner writes.",
            )
        try:
            tree = ast.parse(stubbed(cell.text))
        except SyntaxError as error:
            raise Refused(
                source.where(cell),
                "Python when the solution is taken out",
                f"{error.msg} in line {error.lineno} of what is left",
                "Indent the markers like the lines between them, and keep the `def` line outside.",
            ) from error
        if _raises_at_once(tree):
            raise Refused(
                source.where(cell),
                "solution regions inside a function",
                "one outside, where the stub would stop an untouched notebook",
                "Move the markers into the function's body.",
            )
        if cell.exercise not in _defined(tree):
            raise Refused(
                source.where(cell),
                f"the stub to define `{cell.exercise}`",
                ", ".join(sorted(_defined(tree))) or "nothing",
                "Keep the `def` or `class` line outside the markers, under the exercise's name.",
            )


def _raises_at_once(tree: ast.AST) -> bool:
    """True if the stub's raise stands anywhere outside a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Raise) and ast.unparse(node) == ast.unparse(ast.parse(STUB)):
            return True
        if _raises_at_once(node):
            return True
    return False


def _defined(tree: ast.Module) -> set[str]:
    return {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def refuse_twice(source: Source) -> None:
    for key in ("exercise_text", "exercise", "check", "section"):
        counts = Counter(getattr(cell, key) for cell in source.cells if getattr(cell, key))
        for cell in reversed(source.cells):
            name = getattr(cell, key)
            if name and counts[name] > 1:
                raise Refused(
                    source.where(cell),
                    f'{key}="{name}" once',
                    f"{counts[name]} cells",
                    "Rename or take out the others.",
                )


def refuse_pairs(source: Source) -> None:
    """Every exercise has its text before it and its check after it, and nothing else has a check."""
    places = {
        (key, getattr(cell, key)): cell for cell in source.cells for key in ("exercise_text", "exercise", "check")
    }
    for cell in source.cells:
        name = cell.exercise or cell.check or cell.exercise_text
        if not name:
            continue
        text, exercise, check = (places.get((key, name)) for key in ("exercise_text", "exercise", "check"))
        if cell.exercise and (check is None or check.number < cell.number):
            raise Refused(
                source.where(cell),
                f"a check cell after exercise {name!r}",
                "none" if check is None else f"it in cell {check.number}",
                f'Add `# %% check="{name}"` with the line `{check_line(name)}` below the exercise.',
            )
        if cell.exercise and (text is None or text.number > cell.number):
            raise Refused(
                source.where(cell),
                f"a text before exercise {name!r}",
                "none" if text is None else f"it in cell {text.number}",
                f'Add `# %% [markdown] exercise_text="{name}"` above: the header is put there.',
            )
        if exercise is None:
            raise Refused(
                source.where(cell),
                f"an exercise cell for {'check' if cell.check else 'exercise_text'} {name!r}",
                "none",
                f'Add `# %% exercise="{name}"` between text and check, or take this cell out.',
            )


def refuse_unknown_names(source: Source, lesson) -> None:
    for cell in source.cells:
        name = cell.exercise or cell.check or cell.exercise_text
        if name and name not in lesson.exercises:
            raise Refused(
                source.where(cell),
                f"a name that the checks of {lesson.slug} have ({', '.join(lesson.exercises) or 'none yet'})",
                f"{name!r}",
                "Correct the name, or declare the exercise in attnlab/checks.",
            )


def refuse_unused_exercises(source: Source, lesson) -> None:
    used = {cell.exercise for cell in source.cells}
    missing = [name for name in lesson.exercises if name not in used]
    if missing:
        raise Refused(
            source.where(),
            "every exercise of its checks in the lesson",
            f"none for {', '.join(missing)}",
            "Add text, exercise and check cells, or take the exercise out of attnlab/checks.",
        )


def check_line(name: str) -> str:
    return f"check.{name}({name})"


def refuse_check_lines(source: Source) -> None:
    for cell in source.code:
        if cell.check and cell.text != check_line(cell.check):
            raise Refused(
                source.where(cell),
                f"exactly `{check_line(cell.check)}`",
                f"`{cell.text}`",
                "The cell is marked by its value: put anything else into another cell.",
            )
