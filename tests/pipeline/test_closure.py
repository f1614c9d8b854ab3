"""What counts as the making of a lesson."""

import ast
from pathlib import Path

from grader.pipeline.closure import NOT_DATA, closure, made_from

SLUG = "90_tiny"
ROOT = Path(__file__).parents[2]


def names(course, code: str) -> list[str]:
    found = closure(code, course.root, course.package)
    return [path.relative_to(course.root).as_posix() for path in found]


def test_follows_imports_inside_functions_and_the_data_they_load(course):
    code = "\n".join(cell.text for cell in course.source(SLUG).code)
    assert names(course, code) == [
        "tinylab/__init__.py",
        "tinylab/checks.py",
        "tinylab/data/__init__.py",
        "tinylab/data/numbers.txt",
        "tinylab/mean.py",  # imported in a function of checks.py
    ]


def test_follows_relative_imports(course):
    (course.root / "tinylab" / "twice.py").write_text("from .mean import mean\nfrom . import unused\n")
    assert names(course, "import tinylab.twice") == [
        "tinylab/__init__.py",
        "tinylab/mean.py",
        "tinylab/twice.py",
        "tinylab/unused.py",
    ]


def test_follows_a_table_of_lazily_imported_modules(course):
    (course.root / "tinylab" / "lazy.py").write_text(
        'import importlib\nload = importlib.import_module\nTABLE = {"mean": "tinylab.mean", "unused": ".unused"}\n'
    )
    assert {"tinylab/mean.py", "tinylab/unused.py"} < set(names(course, "from tinylab.lazy import TABLE"))


def test_the_front_end_of_the_figures_counts_as_made_from():
    found = {path.relative_to(ROOT).as_posix() for path in closure("from attnlab.viz import heatmap", ROOT)}
    assert {"attnlab/viz/front/stage.js", "attnlab/viz/front/style.css"} < found


def test_the_hash_follows_code_and_data_but_neither_prose_nor_strangers(course, rewrite):
    def hash():
        return made_from(course.source(SLUG), course.root, course.package)

    first = hash()
    rewrite(course, "# Write the mean.", "# Write the mean, please.")
    (course.root / "tinylab" / "unused.py").write_text("changed = 1\n")
    (course.root / "tinylab" / "data" / "other.txt").write_text("9")
    assert hash() == first
    (course.root / "tinylab" / "data" / "numbers.txt").write_text("9")
    second = hash()
    assert second != first
    rewrite(course, "mean(numbers)\n", "mean(numbers) + 0\n")
    assert hash() != second


def test_every_data_file_of_the_package_is_named_by_a_module_beside_it():
    """Else a change of it would make no lesson stale."""
    for path in (ROOT / "attnlab").rglob("*"):
        if not path.is_file() or path.suffix in NOT_DATA or "__pycache__" in path.parts:
            continue
        strings = set()
        for module in path.parent.glob("*.py"):
            for node in ast.walk(ast.parse(module.read_text())):
                if isinstance(node, ast.Constant):
                    strings.add(node.value)
        assert {path.name, path.stem} & strings, f"{path}: no module beside it names this file"
