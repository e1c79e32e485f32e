"""Arguments that nobody meant, for every public constructor and function."""

from __future__ import annotations

import contextlib
import fractions
import inspect
import io
import itertools
import json
import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tbwatch
from tbwatch import kernels, reader, replay, schedule, selection, testing
from tbwatch.alerts import Alert
from tbwatch.cli import main
from tbwatch.detectors import DETECTORS, make_detectors
from tbwatch.flight_log import FlightLog
from tbwatch.format import decode_metadata
from tbwatch.judging import Panel
from tbwatch.layout_json import layout_from_json, layout_to_json

CALLBACKS = (
    tbwatch.Watch,
    tbwatch.ActivationHistograms,
    tbwatch.DeadUpdateDetector,
    tbwatch.GradientHistograms,
    tbwatch.GradientNorms,
    tbwatch.KernelGrid,
    tbwatch.UpdateHistograms,
    tbwatch.WeightHistograms,
)


def _make_record(*args: Any, **kwargs: Any) -> object:
    return testing.run(None, [testing.make_record(*args, **kwargs)])


def _decoded(metadata: bytes) -> object:
    return decode_metadata(metadata)


def _flight(table: np.ndarray, numbers: int, names: list[str]) -> object:
    return FlightLog.from_table(table, numbers, names).rows()


def _shown_alert(data: Any) -> object:
    alert = Alert.from_json(data)
    return str(alert), alert.to_json(), alert.link, alert.layer


def _used_layout(data: Any) -> object:
    layout = layout_from_json(data)
    used = layout_to_json(layout), layout.sizes, layout.floors, layout.initial_rms, layout.rank("a")
    return used, [variable.expected_rms for variable in layout.variables]


def _used_schedule(name: str, value: Any, number: int) -> object:
    schedule.check_update_freq(name, value, allow_none=True)
    return schedule.Schedule(value).next_due(number)


def _used_selection(include: Any = None, exclude: Any = None, name: str = "a/b") -> object:
    return selection.Selection(include, exclude)(str(name))


def _command(argv: list[str]) -> object:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            return main(argv)
        except SystemExit as leave:  # argparse, for --help and what it can judge itself
            if leave.code in (0, 2):
                return leave.code
            raise AssertionError(f"status {leave.code}") from leave


TARGETS: tuple[Callable[..., object], ...] = (
    *CALLBACKS,
    *CALLBACKS[:1] * 4,
    *DETECTORS.values(),
    kernels.put_kernels_on_grid,
    kernels.kernel_change_grid,
    kernels.kernels_beside,
    kernels.to_png,
    make_detectors,
    Panel,
    testing.make_layout,
    _make_record,
    testing.run,
    reader.find_runs,
    reader.read_run,
    replay.chosen_detectors,
    _decoded,
    _flight,
    _shown_alert,
    _used_layout,
    _used_schedule,
    _used_selection,
)
# No "/" and no ".": as a log directory they would be searched through and through.
_text = st.text(st.characters(exclude_characters="/."), max_size=12)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 40),
    st.sampled_from([10**9, 2**31, 2**63, 10**400, -(2**63)]),
    st.floats(),
    _text,
    st.binary(max_size=8),
    st.complex_numbers(),
    st.fractions(),
    st.decimals(),
)
_arrays = st.builds(
    lambda shape, dtype, seed: (np.random.default_rng(seed).normal(size=shape) * 3).astype(dtype),
    st.lists(st.integers(0, 4), max_size=5).map(tuple),
    st.sampled_from(["f4", "f8", "f2", "i4", "u1", "?", "c8", "O", "U8"]),
    st.integers(0, 9),
)
_kernels = st.builds(
    lambda shape, value: np.full(shape, value),
    st.tuples(*[st.integers(1, 5)] * 4),
    st.sampled_from([0.0, 1.0, np.nan, np.inf, -1e308, 1e308, np.float32(3e38), 7]),
)
_tables = st.builds(
    lambda rows, columns, values: np.resize(np.array(values, "f4"), (rows, columns)),
    st.integers(1, 3),
    st.integers(0, 8),
    st.lists(st.floats(width=32), min_size=1, max_size=5),
)
_objects = st.sampled_from(
    [
        object,
        object(),
        len,
        dict,
        print,
        Ellipsis,
        NotImplemented,
        pathlib.Path("none"),
        range(3),
        fractions.Fraction(1, 3),
        np.float32(2),
        np.int64(3),
        np.bool_(True),
        np.str_("auto"),
        itertools.count,
        KeyError("x"),
        ("a", 3),
        {"a": 1},
        iter([1]),
        "�",
        "\x00",
        "x" * 5000,
    ]
)
JUNK = st.one_of(
    _scalars,
    _objects,
    _arrays,
    st.recursive(
        _scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.tuples(inner, inner),
            st.dictionaries(_text, inner, max_size=4),
        ),
        max_leaves=8,
    ),
)
_words = st.sampled_from(
    [
        "auto",
        "epoch",
        "batch",
        "all",
        "shared",
        "filter",
        "critical",
        "warning",
        "conv*",
        "*",
        *DETECTORS,
        "[",
        "",
        "a/kernel",
        "loss",
        "logs",
        "/dev/null",
        "\x00",
        "a" * 300,
    ]
)
_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _text),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["variables", "name", "shape", "dtype", "initial_rms", "connected"])
            | st.sampled_from(["activations", "setup", "frozen", "version", "kind", "layer"])
            | _text,
            inner,
            max_size=7,
        ),
    ),
    max_leaves=12,
)
ARGUMENT = st.one_of(
    JUNK, _words, st.lists(_words, max_size=3), st.integers(0, 5), st.floats(0, 2), _kernels, _json
)
# Values that are right for a parameter of this name, so that one wrong argument is reached at all.
RIGHT: dict[str, st.SearchStrategy[Any]] = {
    "log_dir": st.sampled_from(["logs", pathlib.Path("logs")]),
    "update_freq": st.sampled_from([1, 7, "auto", "epoch", "batch"]),
    "patience": st.integers(1, 9),
    "warmup": st.integers(0, 9),
    "kernel": _kernels,
    "initial": _kernels,
    "image": _kernels.map(lambda kernel: kernel.astype(np.uint8)[0]),
    "step": st.integers(0, 100),
    "layout": st.none() | st.just(testing.make_layout("a/kernel", "b/bias")),
    "shape": st.tuples(st.integers(0, 4), st.integers(0, 4)),
    "settings": st.lists(
        st.builds(
            "{}.{}={}".format,
            st.sampled_from([*DETECTORS]),
            st.sampled_from(["threshold", "patience", "warmup", "x"]),
            st.one_of(st.sampled_from(["1e-6", "3", "(" * 500, "9" * 5000, "{[]}", "1j"]), _words),
        ),
        max_size=2,
    ),
}
WORDS_OF_COMMANDS = st.one_of(
    st.sampled_from(["alerts", "check", "summary", "flight", "--json", "--fail-on", "--set"])
    | st.sampled_from(["--detectors", "--version", "--help", "-h", "logs", "/dev/null", "none"])
    | st.sampled_from(["critical", "dead_update.threshold=1e-6", "dead_update", "a=b", "x" * 5000]),
    _text,
    RIGHT["settings"].map(lambda texts: texts[0] if texts else "-"),
)
# What only the package itself calls, and with these types alone.
TYPED: dict[str, st.SearchStrategy[Any]] = {
    "metadata": st.binary() | _json.map(lambda data: json.dumps(data).encode()),
    "table": _tables,
    "numbers": st.integers(-(2**63), 2**63 - 1),
    "names": st.lists(st.text(max_size=3), max_size=3),
    "number": st.integers(0, 10**6),
    "data": _json,
}


@st.composite
def calls(draw: st.DrawFn) -> tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]:
    """A target with positional and keyword arguments, most of them right by themselves."""
    target = draw(st.sampled_from(TARGETS))
    arguments: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in inspect.signature(target).parameters.values():
        kind, is_needed = parameter.kind, parameter.default is parameter.empty
        if kind is parameter.VAR_KEYWORD:
            names = st.sampled_from(
                ["loss", "update_ratio", "dtype", "connected", "x", "dead_units"]
            )
            named |= draw(st.dictionaries(names, ARGUMENT, max_size=2))
        elif kind is parameter.VAR_POSITIONAL:
            arguments += draw(st.lists(ARGUMENT, max_size=2))
        elif is_needed or draw(st.integers(0, 3)) == 0:
            right = RIGHT.get(parameter.name, ARGUMENT)
            value = draw(TYPED.get(parameter.name, st.one_of(ARGUMENT, right, right)))
            if kind is parameter.POSITIONAL_ONLY:
                arguments.append(value)
            else:
                named[parameter.name] = value
    return target, tuple(arguments), named


@st.composite
def command_calls(draw: st.DrawFn) -> tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]:
    """The command line with words in any order, often with a command in front."""
    words = draw(st.lists(WORDS_OF_COMMANDS, max_size=6))
    front = draw(st.sampled_from([[], ["alerts"], ["check"], ["summary"], ["check", "logs"]]))
    return _command, ([*front, *words],), {}


def try_call(
    target: Callable[..., object], arguments: tuple[Any, ...], named: dict[str, Any]
) -> bool:
    """Call it; whether it took the arguments. It may refuse them only as documented."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            target(*arguments, **named)
        except (ValueError, TypeError) as error:
            if str(error):
                return False
            raise AssertionError("an empty message") from error
    return True
