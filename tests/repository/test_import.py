"""`import attnlab` loads nothing heavy, so commands stay quick."""

import re
import subprocess
import sys

HEAVY = {"torch", "matplotlib", "IPython", "transformers", "numpy"}


def test_import_attnlab_loads_nothing_heavy():
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import attnlab"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \|\s+(\S+)", run.stderr)
    loaded = {name.split(".")[0]: int(total) for _, total, name in rows}
    assert "attnlab" in loaded
    assert HEAVY & loaded.keys() == set()
    print(f"import attnlab: {loaded['attnlab'] / 1000:.1f} ms (budget 50 ms)")
