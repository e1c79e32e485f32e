"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from benchmarks.process import ROOT
from tbwatch import __version__


def facts() -> dict[str, str]:
    """Processor, cores, memory and versions."""
    commit = _commit()
    return {
        "CPU": _field("/proc/cpuinfo", "model name") or platform.processor() or "unknown",
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory_kb('MemTotal') / 1e6:.0f} GB",
        "Python": platform.python_version(),
        "TensorFlow": version("tensorflow"),
        "Keras": version("keras"),
        "tbwatch": __version__ + (f" ({commit})" if commit else ""),
    }


def memory_kb(name: str) -> float:
    """A line of /proc/meminfo; 0 where there is none."""
    return float((_field("/proc/meminfo", name) or "0").split()[0])


def available_bytes() -> float:
    """Memory that can be had without swapping; infinite where nobody knows."""
    return 1024 * memory_kb("MemAvailable") or float("inf")


def _field(file: str, name: str) -> str:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return ""
    found = [line.partition(":")[2].strip() for line in lines if line.startswith(name)]
    return found[0] if found else ""


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
