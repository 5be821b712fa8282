"""Where a result comes from: commit, versions, hardware."""

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "commit", "describe_machine"]

ROOT = Path(__file__).resolve().parents[2]  # the checkout, or where the package is installed
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "pytorch-msssim", "pillow")


@cache
def commit() -> str:
    """The commit that is checked out, "+changes" where files differ from it, "unknown" outside a checkout.

    ``MI_CORE_COMMIT`` overrides it on a machine that has the files but not the repository.
    """
    if given := os.environ.get("MI_CORE_COMMIT"):
        return given
    try:
        if Path(_git("rev-parse", "--show-toplevel")).resolve() != ROOT:  # installed somewhere inside another project
            return "unknown"
        head = _git("rev-parse", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain", "--", "mi_core", ":!mi_core/report") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def describe_machine(device: Any, precision: Any) -> dict[str, Any]:
    """What a result depends on besides its parameters (commit, versions, hardware, threads, precision used), and the
    memory that it took."""
    import torch

    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "commit": commit(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "hardware": hardware,
        "device": device.type,
        "threads": torch.get_num_threads(),
        "precision": str(precision).removeprefix("torch."),
        "peak_memory_mib": _peak_memory(),
    }


def _peak_memory() -> int:
    """The most memory that this process has held at once so far, in MiB."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
