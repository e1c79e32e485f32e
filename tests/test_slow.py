"""The search for slow tests finds what is slow, and nothing else."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable

import pytest
import tensorflow as tf

import tbwatch
from tests import nets
from tests.event_files import write
from tests.slow import is_slow, reaches_slow


def _trains() -> None:
    nets.fit(nets.convnet())


def _starts_a_process() -> None:
    subprocess.run(["true"], check=True)


def _imports_by_itself() -> None:
    import keras

    keras.Sequential()


def _through_another() -> list[None]:
    return [_trains() for _ in range(2)]


def _by_default(start: Callable[[], None] = _starts_a_process) -> None:
    start()


class _Program:
    """A class whose method starts a process."""

    def start(self) -> None:
        _starts_a_process()


class _Callback(tbwatch.Watch):
    """A callback of Keras, by its base."""


def _of_a_class() -> None:
    _Program().start()


def _with_a_callback() -> None:
    _Callback()


def _compiles() -> None:
    tf.function(print)


@pytest.mark.parametrize(
    "code",
    [
        _trains,
        _starts_a_process,
        _imports_by_itself,
        _through_another,
        _of_a_class,
        _with_a_callback,
        _compiles,
        _by_default,
        functools.partial(_trains),
        {"a": [_trains]},
        {"a": nets},
    ],
)
def test_what_is_slow(code: object) -> None:
    """Training, processes, graphs: called, handed on, by default, in a container, in a class."""
    assert reaches_slow([code])


def _reads() -> list[object]:
    return [write, tf.io.TFRecordWriter, tf.constant(1), len("keras")]


@pytest.mark.parametrize("code", [_reads, print, "keras", test_what_is_slow, None])
def test_what_is_not(code: object) -> None:
    """Files that TensorFlow writes, a word, and code that is not ours."""
    assert not reaches_slow([code])


@pytest.fixture(name="may_train")
def _may_train() -> Callable[[], None]:
    """Reaches a training, and makes none."""
    return _trains


@pytest.mark.usefixtures("may_train")
def test_a_fixture_counts(request: pytest.FixtureRequest) -> None:
    """Also where the test does not name it; and `-m` can ask for the mark."""
    assert is_slow(request.node)
    assert request.node.get_closest_marker("slow") is not None


@pytest.mark.parametrize("code", [_trains])
def test_a_parameter_counts(request: pytest.FixtureRequest, code: Callable[[], None]) -> None:
    """Whatever the test does with it."""
    assert callable(code)
    assert is_slow(request.node)


def test_the_mark_is_set(request: pytest.FixtureRequest) -> None:
    """On tests of the same module, by what each one reaches."""
    assert not is_slow(request.node)
    assert request.node.get_closest_marker("slow") is None
