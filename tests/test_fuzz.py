"""A short, repeatable part of what `python -m tests.fuzz` tries: hostile files and arguments."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import corpus
from tests.fuzz.arguments import calls, command_calls, try_call
from tests.fuzz.bombs import many_alerts, wide_message
from tests.fuzz.reading import NAME, try_command, try_damaged, try_reading


def examples(number: int) -> settings:
    """The same ones each time, however long they take."""
    return settings(
        max_examples=number,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return corpus.record(tmp_path_factory.mktemp("corpus"))


@examples(300)
@given(number=st.integers(0, 2**32))
def test_damaged_files(number: int, files: list[bytes], tmp_path: Path) -> None:
    """They are read as far as they can be, by every command, and notes say what was left out."""
    try_damaged(number, 0, files, tmp_path)


def test_undamaged_files(files: list[bytes], tmp_path: Path) -> None:
    """What the damage begins with is read without a note; TensorFlow's file holds no records."""
    for number, data in enumerate(files):
        run = tmp_path / str(number) / "tbwatch"
        run.mkdir(parents=True)
        (run / NAME).write_bytes(data)
        found = try_reading(run.parent)
        assert (found is None) == (number == 3)
        if found is not None:
            assert found.notes == []
            assert len(found.records) >= 6


@pytest.mark.parametrize("bomb", [many_alerts, wide_message])
def test_bombs(bomb, tmp_path: Path) -> None:
    """A million keys, alerts or empty messages: read, or refused in a sentence."""
    (tmp_path / NAME).write_bytes(bomb(Random(0)))
    try_reading(tmp_path)
    assert try_command(["alerts", str(tmp_path)]) in (0, 2)


@examples(500)
@given(call=calls() | command_calls())
def test_arguments_that_nobody_meant(call, tmp_path: Path, monkeypatch) -> None:
    """Every public constructor and function takes them, or refuses them as documented."""
    monkeypatch.chdir(tmp_path)
    try_call(*call)
