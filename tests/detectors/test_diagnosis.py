"""One diagnosis per variable: the order, the counting, and who is judged at all."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tbwatch.detectors import ORDER
from tbwatch.detectors.dead_update import DeadUpdate
from tbwatch.detectors.diagnosis import Diagnosis
from tbwatch.detectors.rule import VariableRule
from tbwatch.layout import Layout, WatchedVariable
from tbwatch.testing import HEALTHY, make_layout, make_record
from tests.detectors.series import KERNEL, STILL, ZERO, changes, events, series

RULES = [rule() for rule in ORDER]
DEAD = (21, "raised", "dead_update", "critical", KERNEL)


class Marked(VariableRule):
    """Holds for what the record marks by a number in `weight_norm`."""

    value = "weight_rms"
    message, remedy = "{weight_rms:.0f} of {layer}.", "None."
    mark = 0.0

    def holds(self, record, facts):
        """Marked variables."""
        return record.quantity("weight_norm") == self.mark


class One(Marked):
    name, mark = "one", 1.0


class Two(Marked):
    name, mark, severity = "two", 2.0, "critical"


class Low(Marked):
    """Holds for both marks."""

    name = "low"

    def holds(self, record, facts):
        """One or two."""
        return record.quantity("weight_norm") <= 2


def _marks(rules, *marks, layout=None):
    layout = layout or make_layout("k/kernel", shape=(1, 1))
    records = [make_record(s, layout, weight_norm=mark) for s, mark in enumerate(marks, 1)]
    return [(step, state, name) for step, state, name, *_ in events(rules, records)]


def test_the_first_rule_of_the_order_that_holds_has_the_word():
    """Whichever stands first, at one record and whatever holds besides."""
    rules = [One(patience=1, warmup=0), Low(patience=1, warmup=0)]
    layout = make_layout("a/kernel", "b/kernel")
    told = events(rules, [make_record(1, layout, weight_norm=[1, 2])])
    assert [(e[2], e[4]) for e in told] == [("one", ("a/kernel",)), ("low", ("b/kernel",))]
    told = events(rules[::-1], [make_record(1, layout, weight_norm=[1, 2])])
    assert [(e[2], e[4]) for e in told] == [("low", ("a/kernel", "b/kernel"))]


def test_a_streak_is_of_one_rule():
    """Records with another diagnosis do not count toward it, and do not clear what is held."""
    rules = [One(warmup=0), Two(warmup=0)]
    assert _marks(rules, 1, 1, 2, 1, 1, 2, 2, 1) == []
    assert _marks(rules, 1, 1, 1, 2, 2, 2) == [
        (3, "raised", "one"),
        (6, "raised", "two"),
    ]
    assert _marks(rules, 1, 1, 1, 2, 5, 2, 5, 5, 5) == [(3, "raised", "one"), (9, "cleared", "one")]


@pytest.mark.parametrize(("soft", "step"), [(False, 8), (True, 15)])
def test_a_soft_rule_is_cleared_late(soft, step, monkeypatch):
    """Sick until record 5: cleared at the 3rd clean one, or at the 10th where values hover."""
    monkeypatch.setattr(One, "soft", soft)
    told = _marks([One(warmup=0)], *[1] * 5, *[9] * 20)
    assert told == [(3, "raised", "one"), (step, "cleared", "one")]


def test_patience_counts_both_ways():
    """It takes as many clean records to clear as sick ones to raise."""
    told = _marks([One(patience=4, warmup=0)], *[1] * 6, *[9] * 6)
    assert told == [(4, "raised", "one"), (10, "cleared", "one")]


def test_the_words_of_a_finding():
    """Message and remedy name the evidence; the value is the one that was judged."""
    diagnosis = Diagnosis([Two(patience=2, warmup=0)])
    layout = make_layout("net/k/kernel", shape=(1, 1))
    for step in (3, 5):
        findings = diagnosis.update(make_record(step, layout, weight_norm=2.0))
    (finding,) = findings
    assert (finding.message, finding.value, finding.severity) == ("2 of net/k.", 2.0, "critical")
    assert (finding.samples, finding.since, finding.threshold) == (2, 3, 2.0)
    assert finding.evidence["last_moved_at"] == 5


def test_what_is_held_keeps_the_words_of_its_last_record():
    """While clean records are counted, their numbers do not speak for the diagnosis."""
    diagnosis = Diagnosis([Two(patience=2, warmup=0)])
    layout = make_layout("net/k/kernel", shape=(1, 1))
    for step, mark in enumerate((2.0, 2.0, 9.0), 1):
        (*_, finding) = [None, *diagnosis.update(make_record(step, layout, weight_norm=mark))]
    assert (finding.message, finding.value) == ("2 of net/k.", 2.0)


def test_fires_once_after_warmup():
    """Still from the start: raised when 20 updates have passed since the first, never again."""
    assert events(RULES, series(10_000, **STILL)) == [DEAD]


def test_the_warmup_counts_updates_not_records():
    """Samples 7 updates apart: 20 updates after the first one is the fourth record, 22."""
    assert changes(RULES, series(200, every=7, **STILL)) == [(22, "raised")]


def test_records_that_must_not_be_judged():
    """A learning rate of zero, and updates that overwrote the weights by their average."""
    assert events(RULES, series(200, **STILL, learning_rate=0.0)) == []
    assert events(RULES, series(200, **STILL, judged=False)) == []


def test_an_unknown_learning_rate_does_not_hide_a_fault():
    """An optimizer without a learning rate is judged too."""
    assert events(RULES, series(**STILL, learning_rate=math.nan)) == [DEAD]


def test_accumulation_makes_no_records_between_updates():
    """Weights that stand still on k-1 of k micro-steps are never recorded: nothing to fool us."""
    assert events(RULES, series(400, every=4)) == []


def test_a_bias_before_batch_normalisation_is_not_sick():
    """Its gradient is rounding noise or zero while the kernel of its layer trains."""
    layout = make_layout("conv/kernel", "conv/bias")
    noise = {"update_ratio": [1e-3, 1e-10], "window_change": [1e-3, 1e-10]}
    assert events(RULES, series(2000, layout=layout, gradient_norm=[0.1, 1e-12], **noise)) == []
    zero = {name: [value, 0.0] for name, value in HEALTHY.items() if name in ZERO}
    assert events(RULES, series(2000, layout=layout, **zero)) == []


def test_scale_and_shift_of_a_normalisation():
    """Small steps of gamma beside its scale of 1 say nothing; no gradient at all does."""
    layout = make_layout("norm/gamma", "norm/beta", shape=(16,))
    assert events(RULES, series(2000, layout=layout, **STILL)) == []
    assert events(RULES, series(layout=layout, **ZERO)) == [
        (21, "raised", "zero_gradient", "critical", ("norm/gamma", "norm/beta"))
    ]


def test_a_sick_layer_lists_its_bias():
    """One alert names the first variable in forward order and the others with it."""
    layout = make_layout("a/kernel", "a/bias", "b/kernel", "b/bias")
    zero_b = {n: [v, v, ZERO[n], ZERO[n]] for n, v in HEALTHY.items() if n in ZERO}
    records = [make_record(s, layout, epoch=s // 10, **zero_b) for s in range(1, 61)]
    assert events(RULES, records) == [
        (21, "raised", "zero_gradient", "critical", ("b/kernel", "b/bias"))
    ]


def test_the_first_cause_has_the_word():
    """A dead layer in bfloat16 with huge weights has one diagnosis: no gradient."""
    layout = Layout((WatchedVariable("d/kernel", (64, 64), "bfloat16", initial_rms=50.0),))
    assert [e[2] for e in events(RULES, series(layout=layout, **ZERO))] == ["zero_gradient"]


def test_missing_quantities_are_no_fault():
    """A record without update statistics, or all NaN, makes no alert and no crash."""
    nan = dict.fromkeys(HEALTHY, math.nan)
    assert events(RULES, series(100, **nan)) == []
    assert events(RULES, [make_record(s, quantities={}) for s in range(1, 100)]) == []


def test_records_without_quantities_change_nothing():
    """Between two samples batches alone are told: what is held goes on, and is not counted."""
    records = series(40, every=4, **STILL)
    empty = [make_record(s, quantities={}) for s in range(1, 41) if s % 4 != 1]
    mixed = sorted([*records, *empty], key=lambda record: record.step)
    assert events(RULES, mixed) == events(RULES, records) == [DEAD]


def test_a_finding_keeps_its_numbers_between_samples():
    """A batch alone has none: what is held is told with those of the last sample."""
    diagnosis = Diagnosis([DeadUpdate()])
    for record in series(30, **STILL):
        held = diagnosis.update(record)
    for last in (False, True):
        told = diagnosis.update(make_record(31, quantities={}, is_last=last))
        assert [(f.message, f.value) for f in told] == [(f.message, f.value) for f in held] != []


def test_another_layout_begins_anew():
    """Variables that vanish or appear take no counts with them."""
    first = series(10, **STILL)
    other = make_layout("new/kernel")
    assert events(RULES, [*first, *series(30, first=11, layout=other, **STILL)]) == []
    told = changes(RULES, [*first, *series(31, first=11, layout=other, **STILL)])
    assert told == [(31, "raised")]


def test_variables_that_vanish_take_their_alert_with_them():
    """What is no longer there is no longer sick; back again, it is judged from the start."""
    gone = make_layout("other/kernel")
    records = [
        *series(30, **STILL),
        *series(40, first=31, layout=gone),
        *series(80, first=41, **STILL),
    ]
    assert changes(RULES, records) == [(21, "raised"), (31, "cleared"), (61, "raised")]


def _losses(start, end, last=400):
    return [start * (end / start) ** (step / last) for step in range(1, last + 1)]


def test_a_converged_run_is_silent():
    """If less than 5 % of the loss is left, a gradient of zero everywhere is success."""
    losses = _losses(1.0, 1e-4)
    done = [make_record(s, loss=x, **(ZERO if s > 250 else {})) for s, x in enumerate(losses, 1)]
    assert events(RULES, done) == []
    stuck = [make_record(s, loss=1.0, **(ZERO if s > 250 else {})) for s in range(1, 401)]
    assert [e[:3] for e in events(RULES, stuck)] == [(260, "raised", "zero_gradient")]


def test_a_dead_layer_of_a_converged_run_is_not():
    """Convergence explains that everything is still, not that one layer is."""
    layout = make_layout("a/kernel", "b/kernel")
    dead_a = {n: [ZERO[n], v] for n, v in HEALTHY.items() if n in ZERO}
    records = [
        make_record(s, layout, loss=x, epoch=s // 10, **dead_a)
        for s, x in enumerate(_losses(1, 1e-4), 1)
    ]
    assert [e[1:] for e in events(RULES, records)] == [
        ("raised", "zero_gradient", "critical", ("a/kernel",))
    ]


def test_every_variable_has_one_diagnosis_at_most():
    """Random numbers of all sizes: never two findings about one variable at a record."""
    rng = np.random.default_rng(0)
    layout = Layout(
        tuple(
            WatchedVariable(
                f"{name}/{role}",
                (64, 64),
                dtype,
                initial_rms=scale,
                regularized=bool(i % 2),
                connected=i != 3,
            )
            for i, (name, role, dtype, scale) in enumerate(
                [
                    ("a", "kernel", "float32", 10.0),
                    ("a", "bias", "float32", 0.0),
                    ("b", "kernel", "bfloat16", None),
                    ("c", "kernel", "float32", 0.1),
                    ("d", "gamma", "float32", 1.0),
                ]
            )
        )
    )
    diagnosis = Diagnosis([rule(patience=1, warmup=0) for rule in ORDER])
    seen = set()
    for step in range(1, 500):
        values = {n: rng.choice([0, 1e-12, 1e-8, 1e-3, 1, 100, np.nan], 5) for n in HEALTHY}
        findings = diagnosis.update(make_record(step, layout, **values))
        names = [finding.variable for finding in findings]
        assert len(names) == len(set(names))
        seen |= {finding.diagnosis for finding in findings}
    assert len(seen) > 4


def test_alone_a_rule_keeps_its_own_accounts():
    """`update` of a single rule gives the findings that the order with this rule alone gives."""
    alone, order = DeadUpdate(), Diagnosis([DeadUpdate()])
    records = series(60, changes={40: STILL})
    told = [repr(alone.update(r)) for r in records]
    assert told == [repr(order.update(r)) for r in records]
    assert told[-1] != "[]"
    alone.reset()
    assert alone.update(records[-1]) == []
