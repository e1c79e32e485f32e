"""The examples in docstrings do what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import tbwatch

PACKAGE = Path(tbwatch.__file__).parent


def has_examples(file: Path) -> bool:
    """Whether a module has an example that is not skipped."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return any(">>>" in line and "+SKIP" not in line for line in lines)


MODULES = sorted(
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for file in PACKAGE.rglob("*.py")
    if has_examples(file)
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They run in an empty directory, and leave nothing behind in it."""
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0
    assert list(tmp_path.iterdir()) == []


def test_examples_are_found() -> None:
    """The search looks into sub-packages and names packages by themselves."""
    assert {"tbwatch", "tbwatch.layout", "tbwatch.callbacks.watch"} <= set(MODULES)
