"""Measuring in a process of its own, and what a process holds."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 1200.0  # seconds


class Failed(RuntimeError):
    """The process ended with an error, or did not end."""


def apart(function: str, *arguments: Any, timeout: float = TIMEOUT) -> Any:
    """Call a function in a fresh process.

    Args:
        function: `"module:name"`.
        arguments: anything that JSON knows.
        timeout: seconds.

    Returns:
        What the function returns, which JSON has to know too.

    Raises:
        Failed: with the end of what the process said.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "benchmarks.process", function, json.dumps(arguments)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, env=environment
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{function} {arguments} took more than {timeout:g} s") from None
    if done.returncode:
        end = done.stderr[-2000:] or "it said nothing; out of memory?"
        raise Failed(f"{function} {arguments} ended with {done.returncode}:\n{end}")
    return json.loads(done.stdout.splitlines()[-1])


def resident() -> float:
    """Memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def peak() -> float:
    """The most memory that this process has had, or has had since `forget_peak`, in bytes."""
    status = Path("/proc/self/status").read_text()
    (kilobytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return 1024.0 * int(kilobytes)


def forget_peak() -> None:
    """Let the peak begin anew at what the process holds now."""
    Path("/proc/self/clear_refs").write_text("5")


def _main() -> None:
    module, _, name = sys.argv[1].partition(":")
    value = getattr(importlib.import_module(module), name)(*json.loads(sys.argv[2]))
    print(json.dumps(value))


if __name__ == "__main__":
    _main()
