"""What users may rely on, as text: every public name, with its signature.

    python -m tests.public_api          write tests/public_api.txt
    python -m tests.public_api --check  say what has changed; exit status 1 if something has

A line that disappears or changes breaks programs of users: see docs/releases.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras

from tbwatch import cli_parser
from tbwatch.detectors import DETECTORS

FILE = Path(__file__).with_suffix(".txt")
# Each has `__all__`, and a page in docs/api.
MODULES = (
    "tbwatch",
    "tbwatch.alerts",
    "tbwatch.detectors",
    "tbwatch.kernels",
    "tbwatch.layout",
    "tbwatch.notebook",
    "tbwatch.reader",
    "tbwatch.testing",
)
# Users get these, and never make one.
MADE_BY_US = ("Detector", "LoopWatch", "ReadError", "Shown", "VariableRule")
# Callbacks have many members that only a session calls; these are for users.
MEMBERS = {
    "Watch": ("alerts", "holding", "log_dir", "report"),
    "DeadUpdateDetector": ("alerts",),
    "VariableRule": ("reset", "update"),
    "DeadUpdate": ("reset", "update"),
    "NonFinite": ("reset", "update"),
    "FlightLog": ("rows",),
    "Recorder": (),
}


def public() -> Iterator[tuple[str, Any]]:
    """Every public name with its module, and what it is."""
    for name in MODULES:
        module = importlib.import_module(name)
        for own in module.__all__:
            yield f"{name}.{own}", getattr(module, own)


def members(owner: type) -> list[str]:
    """Public methods and properties of a class, fields of a dataclass apart."""
    if owner.__name__ in MEMBERS:
        return list(MEMBERS[owner.__name__])
    if issubclass(owner, keras.callbacks.Callback):
        return []
    fields = {field.name for field in dataclasses.fields(owner)} if is_data(owner) else set()
    ours = [base for base in owner.__mro__ if base.__module__.startswith("tbwatch")]
    names = {name for base in ours for name in vars(base)} - fields
    return sorted(n for n in names if not n.startswith("_") and is_offered(owner, n))


def is_data(owner: type) -> bool:
    """Whether a class is a dataclass."""
    return dataclasses.is_dataclass(owner)


def is_offered(owner: type, name: str) -> bool:
    """Whether a member is a method or a property: no plain value."""
    member = inspect.getattr_static(owner, name)
    return not isinstance(member, (str, int, float, tuple, type(None)))


class _Text:
    """An annotation that is shown as it was written."""

    def __init__(self, text: object) -> None:
        self.text = text if isinstance(text, str) else getattr(text, "__name__", repr(text))

    def __repr__(self) -> str:
        return self.text


def signature(function: Callable[..., Any]) -> str:
    """The signature, annotations as written in the source."""
    found = inspect.signature(function)
    empty = inspect.Parameter.empty
    parameters = [
        p if p.annotation is empty else p.replace(annotation=_Text(p.annotation))
        for p in found.parameters.values()
        if p.name not in ("self", "cls")
    ]
    returned = found.return_annotation
    nothing = inspect.isclass(function) or returned in (empty, None, "None")
    returned = empty if nothing else _Text(returned)
    return str(found.replace(parameters=parameters, return_annotation=returned))


def described(name: str, value: Any) -> Iterator[str]:
    """The lines of one name."""
    if inspect.isclass(value):
        yield f"{name}{'' if value.__name__ in MADE_BY_US else signature(value)}"
        for member in members(value):
            found = inspect.getattr_static(value, member)
            function = getattr(found, "__func__", found)
            called = signature(function) if inspect.isfunction(function) else ""
            yield f"{name}.{member}{called}"
    elif inspect.isfunction(value):
        yield f"{name}{signature(value)}"
    elif isinstance(value, (tuple, dict)):
        yield f"{name} = {', '.join(getattr(item, '__name__', str(item)) for item in value)}"
    else:
        yield name


def commands() -> Iterator[str]:
    """The sub-commands, their arguments and options."""
    for action in cli_parser.parser()._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        for name, parser in action.choices.items():
            for part in parser._actions:
                written = ", ".join(part.option_strings) or part.dest
                allowed = f" {{{','.join(map(str, part.choices))}}}" if part.choices else ""
                if part.dest != "help":
                    yield f"$ tbwatch {name} {written}{allowed}"


def text() -> str:
    """All of it."""
    lines: list[str] = []
    homes: dict[int, str] = {}  # of what two modules offer
    for name, value in public():
        if homes.setdefault(id(value), name) == name:
            lines += described(name, value)
        else:
            lines.append(f"{name} is {homes[id(value)]}")
    lines += [f"tbwatch.detectors.DETECTORS[{n!r}]{signature(c)}" for n, c in DETECTORS.items()]
    return "\n".join([*lines, *commands()]) + "\n"


def changes() -> list[str]:
    """Lines that went (`-`) and that came (`+`) since the file was written."""
    compared = difflib.unified_diff(FILE.read_text("utf-8").splitlines(), text().splitlines(), n=0)
    return [line for line in compared if line[:2] not in ("--", "++", "@@")]


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        print(*changes(), sep="\n")
        sys.exit(bool(changes()))
    FILE.write_text(text(), encoding="utf-8")
