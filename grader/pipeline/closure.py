"""What an executed lesson was made from: its code, the files that this imports, the data that these load."""

import ast
import hashlib
from pathlib import Path

from grader.pipeline.source import Source

NOT_DATA = {".py", ".pyc", ".pyi", ".md"}


def made_from(source: Source, root: Path, package: str = "attnlab") -> str:
    """The hash of everything that can change what the lesson's code cells print.

    Only the code cells count: prose can be polished without running the lesson again, and the outputs
    find their cells by id.
    """
    cells = [cell.text for cell in source.code]
    return hash_of([part for cell in source.code for part in (cell.part, cell.text)], cells, root, package)


def hash_of(told: list[str], cells: list[str], root: Path, package: str = "attnlab") -> str:
    """The hash of some texts, and of the files that the code in the cells imports."""
    digest = hashlib.sha256()
    for text in told:
        digest.update(f"{text}\0".encode())
    for path in closure("\n".join(cells), root, package):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def closure(code: str, root: Path, package: str = "attnlab") -> list[Path]:
    """The package's files that `code` imports, directly or not, and the data files they name.

    Read from the import statements, those inside functions too. Data counts when a file's name or stem
    stands as a string in an imported module of the same folder.
    """
    found: set[Path] = set()
    waiting = _imported(ast.parse(code), None, root, package)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        waiting |= _imported(tree, path, root, package) - found
        found |= _data(tree, path)
    return sorted(found)


def _imported(tree: ast.AST, path: Path | None, root: Path, package: str) -> set[Path]:
    names: set[str] = set()
    by_name = _imports_by_name(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, path, root)
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and by_name:
            names |= {node.value, _module_name(path, root) + node.value if node.value.startswith(".") else ""}
    return {file for name in names if name.split(".")[0] == package for file in _files(name, root)}


def _absolute(node: ast.ImportFrom, path: Path | None, root: Path) -> str:
    """`from .laws import x` in attnlab/checks/lesson.py means attnlab.checks.laws."""
    if not node.level:
        return node.module or ""
    folder = path.parent
    for _ in range(node.level - 1):
        folder = folder.parent
    return ".".join([*folder.relative_to(root).parts, *([node.module] if node.module else [])])


def _imports_by_name(tree: ast.AST) -> bool:
    """Modules that load others lazily, from a table of dotted names."""
    names = {getattr(node, "attr", getattr(node, "id", None)) for node in ast.walk(tree)}
    return "import_module" in names


def _module_name(path: Path | None, root: Path) -> str:
    return ".".join(path.parent.relative_to(root).parts) if path else ""


def _files(name: str, root: Path) -> set[Path]:
    """The files that importing `name` runs: the packages on the way, and the module itself."""
    files, folder = set(), root
    for part in name.split("."):
        folder = folder / part
        for file in (folder.with_suffix(".py"), folder / "__init__.py"):
            if file.is_file():
                files.add(file)
    return files


def _data(tree: ast.AST, path: Path) -> set[Path]:
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    strings = {value for value in constants if isinstance(value, str)}
    beside = [file for file in path.parent.iterdir() if file.is_file() and file.suffix not in NOT_DATA]
    return {file for file in beside if file.name in strings or file.stem in strings}
