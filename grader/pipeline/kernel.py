"""Runs a notebook in a fresh kernel and measures it: wall seconds, peak memory, the slowest cell."""

import os
import tempfile
import time
from pathlib import Path

import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from grader.pipeline.refusal import Refused

CELL_LIMIT_S = 120


def environment(root: Path, progress: Path, **more: str) -> dict[str, str]:
    """One thread, no network, nobody's settings: what a run needs to come out the same everywhere."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key != "MPLBACKEND" and key != "NBGRADER_EXECUTION" and not key.startswith("ATTNLAB_")
    }
    path = os.pathsep.join(filter(None, [str(root), inherited.get("PYTHONPATH")]))
    return {
        **inherited,
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "HF_HUB_OFFLINE": "1",
        "ATTNLAB_PROGRESS": str(progress),
        **more,
    }


def run(notebook: NotebookNode, folder: Path, root: Path, where: str, **env: str) -> dict:
    """Execute `notebook` in place, in `folder`; return what was measured. Raises Refused if a cell raises."""
    with tempfile.TemporaryDirectory() as temporary:
        meter = _Meter()
        client = NotebookClient(
            notebook,
            timeout=CELL_LIMIT_S,
            kernel_name="python3",
            extra_arguments=["--log-level=40"],  # a kernel warns on the terminal about its own ports
            resources={"metadata": {"path": str(folder)}},
            store_widget_state=False,
            record_timing=False,
            coalesce_streams=True,
            on_cell_execute=meter.before,
            on_cell_executed=meter.after,
        )
        meter.client = client
        start = time.perf_counter()
        try:
            client.execute(env=environment(root, Path(temporary) / "progress.json", **env))
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise Refused(
                f"{where}, cell {meter.cell}",
                f"the lesson to run from top to bottom, each cell within {CELL_LIMIT_S} s",
                f"{type(error).__name__}\n{error}\n",
                "Mend the cell, or the code that it calls.",
            ) from error
        seconds = time.perf_counter() - start
    return {
        "seconds": round(seconds, 1),
        "peak_mb": round(meter.peak_mb),
        "slowest_cell_s": round(meter.slowest, 1),
    }


class _Meter:
    """Listens to the client; looks at the kernel's memory after every cell, while the kernel still lives."""

    client: NotebookClient
    cell = 0
    slowest = 0.0
    peak_mb = 0.0
    _started = 0.0

    def before(self, cell, cell_index: int) -> None:
        self.cell, self._started = cell_index + 1, time.perf_counter()

    def after(self, cell, cell_index: int, execute_reply) -> None:
        self.slowest = max(self.slowest, time.perf_counter() - self._started)
        self.peak_mb = max(self.peak_mb, _peak_mb(self.client.km.provisioner.pid))


def _peak_mb(pid: int) -> float:
    """The most memory a process has held. Linux keeps the record; elsewhere what it holds now has to do."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return psutil.Process(pid).memory_info().rss / 2**20
