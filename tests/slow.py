"""Which tests are slow: code that reaches Keras, graphs of TensorFlow, processes or browsers.

Nobody has to keep a list. From a test the search goes on to its fixtures and parameters, and to all
functions and classes of tests, examples and benchmarks that these name.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Whose code the search looks into. That of tbwatch reaches Keras from nearly everywhere.
OURS = tuple(str(ROOT / name) for name in ("tests", "examples", "benchmarks"))

SLOW = frozenset({"keras", "tensorflow", "subprocess", "multiprocessing", "selenium", "nbclient"})
# TensorFlow is imported anyway, and reads and writes files fast: this is what takes time.
OF_TENSORFLOW = frozenset({"function", "GradientTape", "distribute"})


def is_slow(item: pytest.Function) -> bool:
    """Whether a test, one of its fixtures or one of its parameters reaches what is slow."""
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    functions = [item.function, *(each.func for several in fixtures for each in several)]
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return _reach_slow(*functions) or reaches_slow(parameters)


@functools.cache
def _reach_slow(*functions: Callable[..., object]) -> bool:
    # Most tests have their function in common with others, which differ in parameters.
    return reaches_slow(functions)


def reaches_slow(roots: Iterable[object]) -> bool:
    """Whether what these name, and what that names, is slow; looks into code of ours only."""
    seen: set[int] = set()
    todo = list(roots)
    while todo:
        thing = todo.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if any(map(_is_slow, _homes(thing))):
            return True
        todo += _named_by(thing)
    return False


def _homes(thing: object) -> set[str]:
    """Names of the modules that a module, a class or an object comes from, its bases included."""
    if isinstance(thing, types.ModuleType):
        return {thing.__name__}
    if isinstance(thing, types.FunctionType):
        return {thing.__module__}
    classes = thing.__mro__ if isinstance(thing, type) else type(thing).__mro__
    return {base.__module__ for base in classes}


def _is_slow(module: str) -> bool:
    # tensorflow.core is protocol buffers.
    return module.partition(".")[0] in SLOW and not module.startswith("tensorflow.core.")


def _named_by(thing: Any) -> Iterator[object]:
    """What code of ours names; nothing for other code."""
    if isinstance(thing, functools.partial):
        yield thing.func
    elif isinstance(thing, dict):
        yield from thing.values()
    elif isinstance(thing, (list, tuple, set, frozenset)):
        yield from thing
    elif isinstance(thing, types.ModuleType) and _is_ours(thing):
        # Nobody named what is meant in it: a module in a dictionary, for one.
        yield from (value for value in vars(thing).values() if callable(value))
    elif isinstance(thing, types.FunctionType) and _is_ours(sys.modules.get(thing.__module__)):
        whole = inspect.unwrap(thing)
        yield from _globals_of(whole)
        yield from (*(whole.__defaults__ or ()), *(whole.__kwdefaults__ or {}).values())
    elif isinstance(thing, type) and _is_ours(sys.modules.get(thing.__module__)):
        yield from (getattr(value, "fget", value) for value in vars(thing).values())


def _is_ours(module: types.ModuleType | None) -> bool:
    return str(getattr(module, "__file__", None)).startswith(OURS)


def _globals_of(function: types.FunctionType) -> Iterator[object]:
    """Objects behind the names in a function, and in the functions within it."""
    known = inspect.getclosurevars(function).nonlocals | function.__globals__
    names = set(_names_in(function.__code__))
    for name in names:
        # A package that the function itself imports is no global.
        thing = known.get(name, types.ModuleType(name) if name in SLOW else None)
        module = thing if isinstance(thing, types.ModuleType) else None
        if _is_ours(module):
            yield from (vars(thing)[other] for other in names & vars(thing).keys())
        elif module is None or module.__name__ != "tensorflow" or names & OF_TENSORFLOW:
            yield thing


def _names_in(code: types.CodeType) -> Iterator[str]:
    yield from (*code.co_names, *code.co_freevars)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)
