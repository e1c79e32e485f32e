"""What all tests share."""

from __future__ import annotations

import os

import pytest

from tests.slow import is_slow

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is first imported

# Where it is set, what the command line prints is wrapped, also into a pipe.
os.environ.pop("COLUMNS", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, for `-m "not slow"`."""
    for item in items:
        if isinstance(item, pytest.Function) and is_slow(item):
            item.add_marker("slow")
