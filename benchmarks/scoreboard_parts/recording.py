"""Train programs with tbwatch and keep the event files."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np

from benchmarks.scoreboard_parts import measurement
from benchmarks.scoreboard_parts.program import Program, fit

MEASURED = "measured.json"
_GROUP = 8  # programs for each process: TensorFlow takes seconds to start


def record(program: Program, folder: Path) -> dict[str, object]:
    """Train one program with `Watch` into `folder`.

    Args:
        program: what to train.
        folder: becomes the run's log directory; what it holds is deleted.

    Returns:
        What was measured without tbwatch, also written to `measured.json` there.
    """
    import tbwatch

    shutil.rmtree(folder, ignore_errors=True)
    watch = tbwatch.Watch(folder, histogram_freq=0)
    losses = measurement.Losses()
    started = time.perf_counter()
    keras.utils.clear_session()
    keras.utils.set_random_seed(program.seed)
    result: dict[str, object] = {"id": program.id}
    if program.train is not None:
        program.train([losses, watch])
    else:
        assert program.build is not None
        assert program.data is not None
        model, data = program.build(), program.data()
        start = measurement.observe(model, data, program)
        keras.utils.set_random_seed(program.seed)
        fit(program, [losses, watch], model, data)
        end = measurement.observe(model, data, program)
        chance = measurement.chance_loss(model, data)
        run = measurement.Evidence(start, end, np.array(losses.values), program.where, chance)
        result["symptoms"] = measurement.symptoms(run) if run.start.gradients else []
        result["not_as_intended"] = measurement.verdict(program, run)
        for name in ("loss", "merit"):
            result[name] = [_plain(getattr(state, name)) for state in (start, end)]
        result["dead"], result["saturated"] = end.dead, end.saturated
    result["batches"] = len(losses.values)
    result["first_losses"] = [_plain(value) for value in losses.values[:3]]
    result["last_losses"] = [_plain(value) for value in losses.values[-3:]]
    result["seconds"] = round(time.perf_counter() - started, 1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MEASURED).write_text(json.dumps(result, indent=1))
    return result


def _plain(value: float) -> float | str:
    return round(value, 6) if math.isfinite(value) else str(value)


def record_here(programs: Sequence[Program], out: Path, threads: int) -> int:
    """Record programs in this process; returns how many of them raised an exception.

    Args:
        programs: what to train.
        out: gets a log directory for each program.
        threads: of TensorFlow, which must not have run anything yet; 0 leaves them as they are.
    """
    if threads:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    failed = 0
    for program in programs:
        policy = keras.config.dtype_policy()
        try:
            result = record(program, out / program.id)
        except Exception:
            failed += 1
            print(f"FAILED {program.id}\n{traceback.format_exc()}", flush=True)
        else:
            odd = result.get("not_as_intended")
            shown = {k: result.get(k) for k in ("merit", "loss", "symptoms", "batches", "seconds")}
            print(f"{'ODD' if odd else 'ok'} {program.id} {shown} {odd or ''}", flush=True)
        keras.config.set_dtype_policy(policy)
    return failed


def record_all(
    programs: Sequence[Program], out: Path, command: Sequence[str], jobs: int = 2
) -> int:
    """Record programs in groups, each group in a process of its own.

    Args:
        programs: what to train.
        out: gets a log directory for each program.
        command: arguments of `python -m benchmarks.scoreboard` that choose the same programs.
        jobs: processes at a time.

    Returns:
        How many groups failed.
    """
    groups = [programs[i : i + _GROUP] for i in range(0, len(programs), _GROUP)]
    threads = max((os.cpu_count() or 1) // jobs, 1)

    def run(group: Sequence[Program]) -> int:
        chosen = ",".join(program.id for program in group)
        own = ["--record", "--here", "--only", chosen, "--threads", str(threads)]
        return subprocess.run(
            [sys.executable, "-m", "benchmarks.scoreboard", *own, "--out", str(out), *command],
            check=False,
        ).returncode

    with ThreadPoolExecutor(jobs) as pool:
        return sum(code != 0 for code in pool.map(run, groups))


def measured(folder: Path) -> dict[str, object]:
    """What `record` wrote; empty if it did not."""
    file = folder / MEASURED
    return json.loads(file.read_text()) if file.exists() else {}
