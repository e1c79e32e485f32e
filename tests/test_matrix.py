"""Execution modes, precisions, optimizers and nets together: numbers right, training untouched."""

from __future__ import annotations

import numpy as np
import pytest

import tbwatch
from tbwatch.testing import Recorder
from tests import matrix
from tests.pairwise import cover, pairs_of, possible_pairs
from tests.truth import Tape, TruthStep, compare, expected

NAMES = list(matrix.FACTORS)


def _fit(model, net, *callbacks):
    x, y = matrix.data(net)
    options = {"batch_size": matrix.BATCH, "shuffle": False, "verbose": 0}
    model.fit(x, y, callbacks=list(callbacks), **options)
    kept = {id(v) for v in model.metrics_variables}
    state = [*model.variables, *model.optimizer.variables]
    return [v.numpy() for v in state if id(v) not in kept]


@pytest.mark.parametrize("row", matrix.ROWS, ids=lambda row: ", ".join(row))
def test_numbers_are_right_and_the_training_is_untouched(row, tmp_path):
    """Against a hand-written tape and NumPy; then, bit by bit, against the plain step of Keras."""
    mode, _, _, extra, net, _ = row
    accumulation = matrix.ACCUMULATION if "accumulation" in extra else 1
    recorder = Recorder()
    # Who asks for what activation functions receive keeps TensorFlow from fusing them with the
    # layer in a graph, and then the last bit may differ.
    activations = True if mode == "eager" else "auto"
    watch = tbwatch.Watch(tmp_path, update_freq=1, activations=activations, detectors=[recorder])
    watched = matrix.build(row, TruthStep)
    vars(watched)["truth"] = Tape(matrix.CALLS)
    state = _fit(watched, net, watch)
    truths = expected(watched, accumulation)
    records = recorder.records
    assert len(truths) == matrix.CALLS // accumulation
    # Coarser where the accumulator itself is of half precision.
    coarse = "bfloat16" in row and accumulation > 1
    compare(records, truths, of_gradient=2e-2 if coarse else 1e-5)
    # An update that overwrote the weights by their average is recorded, and not judged.
    for record in records:
        assert record.judged == ("EMA" not in extra or record.step % 3 != 0)
    if mode == "XLA":
        return  # it may merge other operations where more is asked for; see test_untouched.py
    for a, b in zip(state, _fit(matrix.build(row), net), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("part", matrix.IMPOSSIBLE)
def test_what_is_left_out_fails_in_plain_keras(part):
    """What no row holds together cannot be trained without tbwatch either."""
    values = dict(part)
    row = tuple(values.get(name, matrix.FACTORS[name][0]) for name in NAMES)
    with pytest.raises((TypeError, ValueError), match="bfloat16"):
        _fit(matrix.build(row), row[4])


def test_the_rows_try_every_pair():
    """Each pair of values of two factors is in a row, and none that is impossible."""
    tried = set().union(*(pairs_of(NAMES, row) for row in matrix.ROWS))
    every = {
        frozenset({(a, x), (b, y)})
        for a in NAMES
        for b in NAMES
        for x in matrix.FACTORS[a]
        for y in matrix.FACTORS[b]
        if a != b
    }
    assert tried == every - set(matrix.IMPOSSIBLE)
    assert not any(
        part <= set(zip(NAMES, row, strict=True))
        for row in matrix.ROWS
        for part in matrix.IMPOSSIBLE
    )
    assert len(matrix.ROWS) <= 40


def test_a_cover_of_three_switches():
    """Three factors of two values need four rows: an orthogonal array."""
    factors = {"a": ["a0", "a1"], "b": ["b0", "b1"], "c": ["c0", "c1"]}
    rows = cover(factors)
    assert len(rows) == 4
    assert set().union(*(pairs_of(list(factors), row) for row in rows)) == possible_pairs(factors)
    assert cover(factors) == rows
    never = frozenset({("a", "a0"), ("b", "b0")})
    assert all(row[:2] != ("a0", "b0") for row in cover(factors, [never]))
