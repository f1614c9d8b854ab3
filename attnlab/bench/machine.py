"""What was measured on: the device, the versions, and what it can do at best, measured and not looked up."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import torch

from attnlab.bench.timing import clock_of, paired

PACKAGES = ("torch", "triton", "numpy", "transformers", "x-transformers", "vit-pytorch")
WARM_S = 1.0


def machine(device: torch.device) -> dict[str, Any]:
    """Everything that somebody needs to know to believe the figures."""
    found = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "kind": device.type,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "system": platform.platform(terse=True),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }
    if device.type == "cuda":
        found["versions"] |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
        found |= gpu_state(device)
    return found


def processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def commit() -> str:
    """Of the code that was measured; "+" where files differ from it, nothing outside a clone."""
    run = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def gpu_state(device: torch.device) -> dict[str, Any]:
    """Clock and power limit, on which every figure hangs; read while the device is at work."""
    properties = torch.cuda.get_device_properties(device)
    asked = "clocks.sm,clocks.max.sm,power.limit,power.draw,temperature.gpu,driver_version"
    run = ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader", f"--id={device.index or 0}"]
    state: dict[str, Any] = {
        "memory_gb": properties.total_memory / 1e9,
        "multiprocessors": properties.multi_processor_count,
    }
    try:
        answer = subprocess.run(run, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return state | {"clock": "unknown"}
    return state | dict(zip(asked.split(","), (part.strip() for part in answer.split(",")), strict=False))


def ceilings(device: torch.device, dtypes: tuple[torch.dtype, ...], quick: bool) -> dict[str, float]:
    """TFLOP/s of a large product of random matrices for each dtype, and GB/s of a copy, read and write counted.

    Random numbers, since zeros cost less power and run faster: 894 against 770-800 TFLOP/s on an H200.
    """
    clock = clock_of(device)
    found = {}
    for dtype in dtypes:
        side = 8192 if device.type == "cuda" else 512 if quick or _slow(dtype, clock) else 2048
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        warm(lambda a=a, b=b: a @ b, clock, WARM_S if device.type == "cuda" else 0)
        times = paired({"": lambda a=a, b=b: a @ b}, clock, 0.1 if quick else 1.0)[""]
        found[str(dtype).removeprefix("torch.")] = 2 * side**3 / median(times) / 1e12
    size = (1 << 31) if device.type == "cuda" else (1 << 25) if quick else (1 << 28)
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    times = paired({"": lambda: target.copy_(source)}, clock, 0.1 if quick else 1.0)[""]
    return found | {"copy_gb_per_s": 2 * size / median(times) / 1e9}


def _slow(dtype: torch.dtype, clock: Any) -> bool:
    """Many a CPU has no instructions for float16, and takes 30 times as long."""
    a = torch.randn(512, 512).to(dtype)
    return min(clock(lambda: a @ a) for _ in range(2)) > 0.05


def warm(call: Any, clock: Any, seconds: float) -> None:
    """Until the clocks are where they will stay."""
    spent = 0.0
    while spent < seconds:
        spent += clock(call)


def fits(size: float, device: torch.device) -> bool:
    """Whether so many bytes more may be asked for: with room on a CPU, where asking for too much ends the process."""
    if device.type == "cuda":
        return size < torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = 4 << 30
    return size < free / 2
