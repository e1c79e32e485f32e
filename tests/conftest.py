"""What all tests share."""

from __future__ import annotations

import collections
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tbwatch import cli
from tests.slow import is_slow

if TYPE_CHECKING:
    from tests.command_line import Printed

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is first imported

# Where it is set, what the command line prints is wrapped, also into a pipe.
os.environ.pop("COLUMNS", None)

# A process with TensorFlow takes half a gigabyte, and more the more it has trained.
MOST_WORKERS = 8
# Tracing a graph makes many objects that live as long as the graph does. By default the collector
# looks at the young ones every 700, and takes a tenth of the time. There are millions of old ones,
# at which it looks after each file only, see below.
gc.set_threshold(50_000, 20, 1_000_000)


def pytest_configure(config: pytest.Config) -> None:
    """Files are handed out in the order that is made below, not by their number of tests."""
    config.option.loadscopereorder = False


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, since tests wait for processes, disks and clocks as well."""
    return min((os.cpu_count() or 1) + 1, MOST_WORKERS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, for `-m "not slow"`, and begin with the files that have most of it.

    So the last ones to be handed out are short, and no process has to wait for long at the end.
    """
    slow: collections.Counter[Path] = collections.Counter()
    for item in items:
        if isinstance(item, pytest.Function) and is_slow(item):
            item.add_marker("slow")
        slow[item.path] += item.get_closest_marker("slow") is not None
    items.sort(key=lambda item: -slow[item.path])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """What outlives a file stays, so the garbage collector need not look at it again."""
    yield
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


@pytest.fixture(name="tbwatch")
def _tbwatch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Printed:
    """Runs the command line: exit status, lines of stdout, lines of stderr; no terminal."""

    def call(*arguments: object, columns: int = 0) -> tuple[int, list[str], list[str]]:
        monkeypatch.setattr(cli, "_width", lambda: columns)
        status = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err.splitlines()

    return call
