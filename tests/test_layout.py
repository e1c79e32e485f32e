"""Names, roles and scales of variables, and their way through JSON."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from tbwatch.layout import Layout, WatchedActivation, WatchedVariable, unique_names
from tbwatch.layout_json import layout_from_json, layout_to_json

HOSTILE = 'a|b\n"\\</script>\x00\u2028\ud800é'


def variable(name: str = "a/kernel", shape: tuple[int, ...] = (2, 3), **fields) -> WatchedVariable:
    """A variable of which the test names what matters."""
    return WatchedVariable(name, shape, **fields)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ([], []),
        (["a", "a", "a"], ["a", "a_1", "a_2"]),
        (["a", "a", "a_1"], ["a", "a_2", "a_1"]),
        (["a", "a_1", "a"], ["a", "a_1", "a_2"]),
        (["a", "a", "a_1", "a_1"], ["a", "a_2", "a_1", "a_1_1"]),
        (["", ""], ["", "_1"]),
    ],
)
def test_unique_names_keeps_the_first_and_numbers_the_rest(
    paths: list[str], names: list[str]
) -> None:
    """A repeat takes the next number that no other path has for itself."""
    assert names == unique_names(paths)


def test_unique_names_are_unique_whatever_clashes() -> None:
    """Of every list of up to five clashing paths, first occurrences stay and all names differ."""
    for length in range(6):
        for paths in itertools.product(["a", "a_1", "a_1_1", "a_2"], repeat=length):
            names = unique_names(iter(paths))
            assert len(set(names)) == length
            firsts = [paths.index(path) for path in dict.fromkeys(paths)]
            assert [paths[i] for i in firsts] == [names[i] for i in firsts]


@pytest.mark.parametrize(
    ("name", "layer", "role", "is_bias", "is_vector"),
    [
        ("conv1/kernel", "conv1", "kernel", False, False),
        ("net/conv1/bias", "net/conv1", "bias", True, True),
        ("lstm/recurrent_bias", "lstm", "recurrent_bias", True, True),
        ("lstm/bias_1", "lstm", "bias_1", True, True),
        ("bn/gamma", "bn", "gamma", False, True),
        ("bn/beta_2", "bn", "beta_2", False, True),
        ("lstm/recurrent_kernel", "lstm", "recurrent_kernel", False, False),
        ("unbiased", "unbiased", "unbiased", False, False),
        ("bias/kernel", "bias", "kernel", False, False),
    ],
)
def test_a_name_tells_layer_and_role(
    name: str, layer: str, role: str, is_bias: bool, is_vector: bool
) -> None:
    """The part after the last slash is the role; only that part makes a bias."""
    v = variable(name)
    assert (layer, role, is_bias, is_vector) == (
        v.layer,
        v.role,
        v.is_bias,
        v.is_offset_or_scale,
    )


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("conv/kernel", (5, 5, 32, 64), math.sqrt(2 / 800)),
        ("dense/kernel_1", (50, 10), 0.2),
        ("lstm/recurrent_kernel", (8, 32), 0.5),
        ("dense/kernel", (10,), None),
        ("dense/kernel", (0, 10), None),
        ("embedding/embeddings", (50, 10), None),
        ("dense/bias", (50, 10), None),
    ],
)
def test_expected_rms_is_that_of_he(
    name: str, shape: tuple[int, ...], expected: float | None
) -> None:
    """sqrt(2 / fan-in) for kernels with a fan-in, worked out by hand; None for all others."""
    got = variable(name, shape).expected_rms
    assert got == (expected if expected is None else pytest.approx(expected, rel=1e-12))


def test_arrays_have_one_row_per_variable() -> None:
    """Sizes can divide, an unknown scale is NaN, and only a zero start has the larger floor."""
    layout = Layout(
        (
            variable("a", (), initial_rms=2.0),
            variable("b", (2, 3), initial_rms=0.0),
            variable("c", (0, 3)),
        )
    )
    assert len(layout) == 3
    assert layout.names == ("a", "b", "c")
    np.testing.assert_array_equal(layout.sizes, [1, 6, 1])
    np.testing.assert_array_equal(layout.initial_rms, [2, 0, np.nan])
    np.testing.assert_array_equal(layout.floors, [1e-12, 1e-3, 1e-12])


def test_an_output_comes_behind_the_variables_of_its_layer() -> None:
    """Places in forward order; an activation without variables stands behind the one before it."""
    names = ("a/kernel", "a/bias", "b/kernel", "b/bias")
    activations = tuple(WatchedActivation(n, n, "relu", units=2) for n in ("a", "pool", "b"))
    layout = Layout(tuple(variable(name) for name in names), activations=activations)
    everything = [*names, *(activation.label for activation in activations), "loss"]
    assert sorted(everything, key=layout.rank) == [
        "a/kernel",
        "a/bias",
        "a/activation",
        "pool/activation",
        "b/kernel",
        "b/bias",
        "b/activation",
        "loss",
    ]


def test_json_round_trip() -> None:
    """Through JSON text, which allows no NaN, all comes back; a scale that is no number is None."""
    layout = Layout(
        (
            variable(HOSTILE, (), dtype="bfloat16", initial_rms=0.25, connected=False),
            variable("nan", (3,), initial_rms=math.nan),
            variable("inf", (0, 7), initial_rms=math.inf),
            variable("unknown", initial_rms=None),
            variable("zero", initial_rms=0.0),
        ),
        frozen=(HOSTILE, "base/kernel"),
    )
    back = layout_from_json(json.loads(json.dumps(layout_to_json(layout), allow_nan=False)))
    first, _, _, *last = layout.variables
    without_scale = (variable("nan", (3,)), variable("inf", (0, 7)))
    assert Layout((first, *without_scale, *last), layout.frozen) == back


VALID = {"name": "a", "shape": [1], "dtype": "float32", "initial_rms": None, "connected": True}


def test_frozen_may_be_missing() -> None:
    """Data without frozen names is a layout with none."""
    assert Layout((variable("a", (1,)),)) == layout_from_json({"variables": [VALID]})


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"variables": None},
        {"variables": "abc"},
        {"variables": [{}]},
        {"variables": [VALID | {"shape": 3}]},
        {"variables": [VALID | {"shape": ["x"]}]},
        {"variables": [VALID | {"shape": [None]}]},
        {"variables": [VALID | {"initial_rms": []}]},
        {"variables": [VALID], "frozen": 3},
        {"variables": [VALID | {"shape": [math.inf]}]},
        {"variables": [VALID | {"initial_rms": 10**400}]},
    ],
)
def test_other_data_is_refused(data: object) -> None:
    """Whatever is no layout raises ValueError and nothing else."""
    with pytest.raises(ValueError):  # noqa: PT011  # the message may be Python's own
        layout_from_json(data)  # type: ignore[arg-type]
