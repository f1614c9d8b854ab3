"""No file names a package registry's host or a folder of the machine it was written on."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Written in pieces, so that this file may be searched too.
HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("conda", "anaconda", "org"),
        ("registry", "npmjs", "org"),
        ("download", "pytorch", "org"),
    )
]
FOLDERS = ["/" + "/".join(parts) for parts in (("work", ""), ("tmp", "scratch"), ("opt", "wheels"), ("opt", "pypi"))]


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git clone, so there is no list of tracked files")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("words", HOSTS + FOLDERS)
def test_no_tracked_file_contains(words):
    found = [str(path.relative_to(ROOT)) for path in tracked_files() if words.encode() in path.read_bytes()]
    assert found == []
