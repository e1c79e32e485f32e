"""Several devices: two replicas in one process, and two workers on the loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tbwatch import replicas
from tbwatch.reader import read_run
from tests import program
from tests.replica_programs import BATCH, QUANTITIES, UPDATES, data, net

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = [sys.executable, str(ROOT / "tests" / "replica_programs.py")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
MODES = ("plain", "decay", "clipped", "scaled", "loop")


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """What one device and two replicas recorded."""
    out = tmp_path_factory.mktemp("mirrored") / "found.json"
    done = program.run([*PROGRAM, "mirrored", str(out)], env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "tbwatch:" not in done.stderr
    return json.loads(out.read_text())


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "clipped"])
def test_two_replicas_are_one_device(mirrored, mode):
    """Of the same global batch: gradients are summed over replicas, steps and losses the same."""
    (one, _), (two, _) = mirrored[mode]["one"], mirrored[mode]["two"]
    assert [r["step"] for r in two] == list(range(1, UPDATES + 1))
    assert two[0]["names"] == ["a/kernel", "a/bias", "b/kernel", "b/bias"]
    assert two[0]["activations"] == ["a", "b"]
    for mine, expected in zip(two, one, strict=True):
        for quantity in QUANTITIES:
            np.testing.assert_allclose(mine[quantity], expected[quantity], 1e-4, err_msg=quantity)
        assert mine["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert mine["global"] == pytest.approx(expected["global"], rel=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_two_replicas_train_as_without_us(mirrored, mode):
    """Weights are bit-equal."""
    assert mirrored[mode]["two"][1] == mirrored[mode]["two_plain"][1]


def test_keras_clips_the_gradient_of_each_replica(mirrored):
    """What is recorded is the sum of what is left of them, worked out in NumPy."""
    kernel_a, _, kernel_b, _ = (w.astype(np.float64) for w in net().get_weights())
    total = 0.0
    for share in (slice(0, BATCH // 2), slice(BATCH // 2, BATCH)):
        x, y = (part[share].astype(np.float64) for part in data())
        hidden = np.maximum(x @ kernel_a, 0)
        # Mean over two outputs and half a batch, divided by two replicas.
        gradient = hidden.T @ (2 * (hidden @ kernel_b - y)) / (2 * BATCH / 2) / 2
        total += gradient * min(1.0, 0.01 / np.linalg.norm(gradient))
    first = mirrored["clipped"]["two"][0][0]
    at = first["names"].index("b/kernel")
    assert first["gradient_norm"][at] == pytest.approx(np.linalg.norm(total), rel=1e-5)


# --- workers in processes of their own


def _start_workers(tmp_path, updates):
    sockets = [socket.socket() for _ in range(2)]
    for free in sockets:
        free.bind(("localhost", 0))
    addresses = [f"localhost:{free.getsockname()[1]}" for free in sockets]
    for free in sockets:
        free.close()
    workers = []
    for index in range(2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        arguments = [str(tmp_path / f"{index}.json"), str(tmp_path / f"log{index}"), str(updates)]
        workers.append(
            program.Program(
                [*PROGRAM, "workers", *arguments],
                env={**ENVIRONMENT, "TF_CONFIG": json.dumps(task)},
                stdout=subprocess.PIPE,
                stderr=(tmp_path / f"err{index}").open("w"),
                text=True,
            )
        )
    return workers


def test_two_workers_are_one_device(mirrored, tmp_path):
    """The same numbers, written by the chief alone; both workers end with the same weights."""
    workers = _start_workers(tmp_path, UPDATES)
    for index, worker in enumerate(workers):
        assert worker.wait(200) == 0, (tmp_path / f"err{index}").read_text()[-3000:]
    (chief, weights), (other, same) = (
        json.loads((tmp_path / f"{index}.json").read_text()) for index in range(2)
    )
    assert other == []
    assert not (tmp_path / "log1").exists()
    assert weights == same
    expected = mirrored["loop"]["one"][0]
    assert [r["step"] for r in chief] == [r["step"] for r in expected]
    for mine, of_one in zip(chief, expected, strict=True):
        for quantity in QUANTITIES:
            np.testing.assert_allclose(mine[quantity], of_one[quantity], 1e-4, err_msg=quantity)
        assert mine["loss"] == pytest.approx(of_one["loss"], rel=1e-5)
    steps = [r.step for r in read_run(tmp_path / "log0").records if not r.is_last]
    assert steps == list(range(1, UPDATES + 1))


def test_a_worker_that_dies(tmp_path):
    """The chief fails as TensorFlow lets it fail, and does not hang; its files are whole."""
    chief, other = _start_workers(tmp_path, 100_000)
    for line in other.stdout:
        if int(line) >= 20:
            break
    other.send_signal(signal.SIGKILL)
    try:
        assert chief.wait(200) != 0
    finally:
        chief.kill()
        other.wait()
    assert "tbwatch:" not in (tmp_path / "err0").read_text()
    run = read_run(tmp_path / "log0")
    steps = [record.step for record in run.records if not record.is_last]
    assert steps[:15] == list(range(1, 16))
    assert steps == sorted(steps)
    assert not run.notes


def test_a_chief_that_dies(tmp_path):
    """What it had handed to the file system is readable; the worker does not hang."""
    chief, other = _start_workers(tmp_path, 100_000)
    for line in other.stdout:
        if int(line) >= 20:
            break
    chief.send_signal(signal.SIGKILL)
    try:
        assert other.wait(200) != 0
    finally:
        other.kill()
        chief.wait()
    steps = [record.step for record in read_run(tmp_path / "log0").records]
    assert steps == list(range(1, len(steps) + 1))


# --- what is not supported


class ParameterServerStrategyV2:
    """A stand-in: a real one needs a cluster."""


class TPUStrategy:
    """A stand-in: a real one needs a TPU."""


@pytest.mark.parametrize("strategy", [ParameterServerStrategyV2, TPUStrategy])
def test_what_is_refused(strategy):
    """One sentence that names the strategy."""
    assert replicas.refusal(strategy()).startswith(f"{strategy.__name__} is not supported")


def test_the_parameter_server_is_refused_with_its_real_class():
    """Its name is what it is recognised by."""
    import tensorflow as tf

    names = {tf.distribute.experimental.ParameterServerStrategy.__name__, "TPUStrategy"}
    for name in names:
        assert replicas.refusal(type(name, (), {})()) is not None
    assert replicas.refusal(tf.distribute.get_strategy()) is None
