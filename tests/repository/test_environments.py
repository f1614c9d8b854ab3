"""conda, Binder and pip give the same versions, and Binder builds from binder/."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {"pytorch": "torch"}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(lines: list[str]) -> dict[str, str]:
    rows = [line.partition(";")[0] for line in lines if line.strip() and not line.startswith("#")]
    assert [row for row in rows if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.!]+", row)] == []
    return {plain(name): version for name, version in (row.split("==") for row in rows)}


def constraints() -> dict[str, str]:
    return pinned((ROOT / "constraints.txt").read_text().splitlines())


def environment() -> tuple[dict[str, str], dict[str, str]]:
    """The versions that conda and pip get from environment.yml, by package."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    conda = [entry.split("=") for entry in entries if isinstance(entry, str) and "=" in entry]
    return {CONDA_NAMES.get(name, name): version for name, version, *_ in conda}, pinned(pip)


def requirements(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    names = {plain(re.match(r"[A-Za-z0-9_.-]+", line)[0]) for group in groups for line in group}
    return names - {"attnlab"}


def test_binder_reads_the_same_environment():
    assert (ROOT / "binder/environment.yml").read_bytes() == (ROOT / "environment.yml").read_bytes()


def test_every_requirement_is_pinned():
    assert requirements("lab", "grading", "gpu", "dev") - constraints().keys() == set()
    assert constraints()["torch"] == "2.13.0", "without the +cpu of a local build"


def test_the_environment_agrees_with_the_constraints():
    conda, pip = environment()
    assert {name: constraints()[name] for name in pip} == pip
    python = conda.pop("python")
    assert f">={python}," in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    for name, version in conda.items():
        assert f"{constraints()[name]}.".startswith(f"{version}."), name


def test_the_environment_has_all_that_a_lesson_needs():
    conda, pip = environment()
    assert requirements("lab") == (conda.keys() | pip.keys()) - {"python"}


def test_what_runs_here_is_what_is_pinned():
    import sysconfig
    from importlib.metadata import distributions

    # Only what is installed: setuptools puts copies of its own on sys.path once it is imported.
    installed = distributions(path=[sysconfig.get_path("purelib")])
    here = {plain(item.metadata["Name"]): item.version.removesuffix("+cpu") for item in installed}
    shared = constraints().keys() & here.keys()
    differ = {name: (here[name], constraints()[name]) for name in shared if here[name] != constraints()[name]}
    if differ and not (ROOT / ".venv/.dev").exists():
        pytest.skip(f"this environment was not made by make: {differ}")
    assert differ == {}


@pytest.fixture(scope="module")
def dockerfile() -> str:
    """What repo2docker would build; run for real, without Docker."""
    tool = Path(sys.executable).with_name("jupyter-repo2docker")
    # Binder's user; without it the image gets whoever runs this test.
    user = ["--user-id", "1000", "--user-name", "student"]
    run = subprocess.run(
        [tool, "--no-build", "--debug", *user, "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ},
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout + run.stderr


def test_binder_builds_the_environment_of_the_binder_folder(dockerfile):
    assert "Building conda environment for python=3.11" in dockerfile
    assert "COPY --chown=1000:1000 src/binder/environment.yml ${REPO_DIR}/binder/environment.yml" in dockerfile
    assert 'env update -p ${NB_PYTHON_PREFIX} --file "binder/environment.yml"' in dockerfile


def test_binder_installs_the_course_after_the_environment(dockerfile):
    environment, copy, post_build = (
        dockerfile.index(line)
        for line in (
            '--file "binder/environment.yml"',
            "COPY --chown=1000:1000 src/ ${REPO_DIR}/",
            "RUN ./binder/postBuild",
        )
    )
    assert environment < copy < post_build


def test_post_build_runs_and_installs_the_course_alone():
    script = ROOT / "binder/postBuild"
    assert os.access(script, os.X_OK)
    assert "pip install --no-deps" in script.read_text()
