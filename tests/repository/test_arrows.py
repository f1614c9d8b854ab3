"""Who may import whom (the arrows of the layout), read from the import statements themselves."""

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What a module may import when it is loaded, and what only inside a function. "attnlab.x" means that package.
AT_THE_TOP = {
    "attnlab/reference": {"torch", "jaxtyping", "attnlab.reference"},
    "attnlab/data": {"numpy", "attnlab.data"},
    "attnlab/viz": {"numpy", "attnlab.viz"},
    "attnlab/training": {"torch"},
    "attnlab/capture": {"torch", "numpy", "attnlab.viz", "attnlab.capture"},
    "attnlab/fast": {"torch", "numpy", "jaxtyping", "triton", "attnlab.fast"},  # and never the reference
    "attnlab/checks": {
        *("torch", "numpy", "platformdirs", "click"),
        *("attnlab.reference", "attnlab.papers", "attnlab.data", "attnlab.viz", "attnlab.checks"),
    },
}
IN_FUNCTIONS = {
    "attnlab/viz": {"matplotlib", "ipywidgets", "IPython", "anywidget", "traitlets", "PIL", "bertviz", "torch"},
    "attnlab/checks": {"matplotlib", "ipywidgets", "IPython"},
    "attnlab/data": {"babel", "num2words"},
}
# Inside reference/ a file imports only from files above it.
REFERENCE_ORDER = [
    *("softmax", "entropy", "weighted_average", "nadaraya_watson", "dot_product", "soft_dictionary"),
    *("counting", "resnet"),
    *("rnn", "masked_softmax", "additive_attention", "luong_attention"),  # lesson 01
    *("attention_decoder", "local_attention", "attention_pooling"),  # lesson 01
    *("squeeze_excitation", "spatial_squeeze_excitation", "concurrent_squeeze_excitation"),
    *("efficient_channel_attention", "gate_cost"),
    *(),  # lesson 02
    *("channel_attention", "spatial_attention", "cbam", "cbam_layouts"),  # lesson 03
    *("coordinate_attention", "above_control"),
    *("pose_network", "joint_attention", "frame_attention", "separable_attention", "space_time_attention"),  # lesson 04
    *("part_attention", "sta_lstm", "pointing_game", "body_regions"),  # lesson 04
    *("causal_mask", "attention", "self_attention"),
]
NOBODY_IMPORTS = {"solutions", "lessons", "tests"}


@dataclass(frozen=True)
class Import:
    """One imported module: its full name, the line, and whether loading the file already loads it."""

    module: str
    line: int
    at_the_top: bool


def imports_of(path: Path) -> list[Import]:
    found = []

    def visit(node: ast.AST, at_the_top: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, at_the_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the full name, not a relative import"
            found.append(Import(node.module, node.lineno, at_the_top))
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            return  # read by type checkers only
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, at_the_top and not inside)

    visit(ast.parse(path.read_text(encoding="utf-8")), at_the_top=True)
    return found


def owner(module: str) -> str:
    """ "torch.nn" -> "torch", "attnlab.checks.laws" -> "attnlab.checks"."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "attnlab" else parts[0]


def sources(folder: str) -> list[Path]:
    """Of a package, or of the one file with its name."""
    file = ROOT / f"{folder}.py"
    return [file] if file.exists() else sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("package", AT_THE_TOP)
def test_packages_import_only_along_the_arrows(package):
    files = sources(package)
    assert files, f"{package} is empty"
    wrong = []
    for path in files:
        for item in imports_of(path):
            allowed = AT_THE_TOP[package] | (set() if item.at_the_top else IN_FUNCTIONS.get(package, set()))
            if owner(item.module) not in allowed | sys.stdlib_module_names:
                where = "at the top" if item.at_the_top else "in a function"
                wrong.append(f"{path.relative_to(ROOT)}:{item.line} imports {item.module} {where}")
    assert wrong == []


def test_reference_files_import_only_downwards():
    names = [path.stem for path in sources("attnlab/reference") if path.stem != "__init__"]
    assert sorted(names) == sorted(REFERENCE_ORDER), "give a new file its place in REFERENCE_ORDER"
    wrong = []
    for position, name in enumerate(REFERENCE_ORDER):
        above = {f"attnlab.reference.{other}" for other in REFERENCE_ORDER[:position]}
        for item in imports_of(ROOT / f"attnlab/reference/{name}.py"):
            if owner(item.module) == "attnlab.reference" and item.module not in above:
                wrong.append(f"reference/{name}.py:{item.line} imports {item.module}")
    assert wrong == []


def test_capture_knows_records_and_no_view():
    modules = {item.module for path in sources("attnlab/capture") for item in imports_of(path)}
    assert {module for module in modules if owner(module) == "attnlab.viz"} == {"attnlab.viz.record"}


def test_attnlab_does_not_import_the_grader():
    wrong = [
        f"{path.relative_to(ROOT)}:{item.line}"
        for path in sources("attnlab")
        for item in imports_of(path)
        if owner(item.module) == "grader"
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", ["attnlab", "grader", "solutions"])
def test_nothing_imports_solutions_lessons_or_tests(folder):
    wrong = [
        f"{path.relative_to(ROOT)}:{item.line} imports {item.module}"
        for path in sources(folder)
        for item in imports_of(path)
        if owner(item.module) in NOBODY_IMPORTS
    ]
    assert wrong == []
