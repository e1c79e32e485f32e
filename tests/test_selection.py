"""Which names a pattern picks."""

from __future__ import annotations

import re

import pytest

from tbwatch.selection import Pattern, Selection

NAMES = ("conv1/kernel", "conv1/bias", "encoder/conv1/kernel", "conv10/kernel", "out/kernel")


def picked(include: Pattern = None, exclude: Pattern = None) -> list[int]:
    """Positions in `NAMES` of what is wanted."""
    chosen = Selection(include, exclude)
    return [row for row, name in enumerate(NAMES) if chosen(name)]


@pytest.mark.parametrize(
    ("pattern", "rows"),
    [
        ("conv1/kernel", [0]),
        ("conv1", [0, 1, 2]),
        ("conv1*", [0, 1, 2, 3]),
        ("conv?", [0, 1, 2]),
        ("conv[0-9]/kernel", [0]),
        ("encoder", [2]),
        ("encoder/conv1", [2]),
        ("*/bias", [1]),
        ("*/kernel", [0, 2, 3, 4]),
        ("*", [0, 1, 2, 3, 4]),
        ("conv", []),
        ("kernel", []),
        ("CONV1", []),
        ("conv1/", []),
        (["out", "*/bias"], [1, 4]),
        (("out",), [4]),
        ({"out", "encoder"}, [2, 4]),
        (lambda name: name.endswith("bias"), [1]),
        (lambda name: re.match("conv", name), [0, 1, 3]),
    ],
)
def test_patterns_match_names_and_layers(pattern: Pattern, rows: list[int]) -> None:
    """The whole name or the layers that hold it, case and all; `exclude` is the complement."""
    assert rows == picked(pattern)
    assert [row for row in range(len(NAMES)) if row not in rows] == picked(exclude=pattern)


def test_exclude_wins() -> None:
    """What both name is left out; nothing given takes all."""
    assert picked("conv1", "*/bias") == [0, 2]
    assert picked("conv1", lambda name: True) == []
    assert picked() == [0, 1, 2, 3, 4]


def test_a_callable_answers_with_a_bool() -> None:
    """Whatever truth value it has, callers get True or False."""
    assert Selection(lambda name: 1)("a") is True
    assert Selection(exclude=lambda name: "yes")("a") is False


def test_unmatched_patterns_are_named() -> None:
    """Typing errors are found in both arguments; callables have no pattern to name."""
    selection = Selection(["conv1", "cnov2", "*/gamma"], ["out", "drop*"])
    assert selection.unmatched(NAMES) == ["cnov2", "*/gamma", "drop*"]
    assert Selection(lambda name: False, "conv1").unmatched(NAMES) == []
    assert Selection("conv1").unmatched([]) == ["conv1"]


def test_a_changed_list_does_not_change_the_selection() -> None:
    """The patterns are those of the construction."""
    patterns = ["conv1"]
    selection = Selection(patterns)
    patterns.append("out")
    assert not selection("out/kernel")


@pytest.mark.parametrize("argument", ["include", "exclude"])
@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (3, TypeError, "must be a pattern"),
        (b"conv", TypeError, "must be a pattern"),
        (["conv", None], TypeError, "must be a pattern"),
        ({"conv": 1}, TypeError, "must be a pattern"),
        ("", ValueError, "not empty"),
        ([], ValueError, "not empty"),
        (["conv", ""], ValueError, "not empty"),
    ],
)
def test_other_arguments_are_refused(
    argument: str, value: object, error: type[Exception], words: str
) -> None:
    """The sentence names the argument and what was given."""
    with pytest.raises(error, match=f"{argument} must .*; got {re.escape(repr(value))}") as caught:
        Selection(**{argument: value})  # type: ignore[arg-type]
    assert words in str(caught.value)
