"""What every detector promises."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import pickle
import re

import pytest

from tbwatch.alerts import SEVERITIES
from tbwatch.detectors import DETECTORS, make_detectors
from tbwatch.judging import Panel
from tbwatch.layout import Layout, Setup, WatchedActivation, WatchedVariable
from tbwatch.quantities import ACTIVATION_NAMES, NAMES
from tbwatch.testing import Recorder, make_layout, make_record, run
from tests.detectors.series import STILL, ZERO, ended, of_losses, series

TWO = make_layout("a/kernel", "a/bias", "b/kernel", "b/bias")
ACTIVE = make_layout(
    *TWO.names,
    activations=[
        WatchedActivation("a", "a", "relu", units=8),
        WatchedActivation("b", "b", "tanh", units=8),
    ],
)
LARGE = WatchedVariable("a/kernel", (64, 64), initial_rms=10.0)
DECAY = {**ZERO, "update_norm": 1e-6, "update_ratio": 4e-6, "decay_cosine": 1.0}
FADED = {"gradient_norm": [1e-6, 1e-6, 0.1, 0.1], "update_ratio": 1e-6, "window_change": 1e-6}
CLIPPED = make_layout(setup=Setup(optimizer="SGD", global_clipnorm=1e-3))
ONE_UNIT = WatchedActivation("b", "b", "softmax", units=1, is_output=True)

# For each rule a series that it has something to say of.
SICK = {
    "nonfinite": series(layout=TWO, changes={30: {"gradient_nonfinite": 1}}),
    "exploding_gradient": series(
        changes={30: {"gradient_norm": 5.0, "loss": 9.0}, 40: {"gradient_norm": 0.1, "loss": 1.0}}
    ),
    "output_mismatch": series(layout=make_layout(*TWO.names, activations=[ONE_UNIT])),
    "dead_relu": series(layout=ACTIVE, changes={30: {"dead_units": 0.7}}),
    "saturated_activation": series(layout=ACTIVE, changes={30: {"saturated_fraction": [0, 0.9]}}),
    "not_connected": series(layout=make_layout("aux/kernel", connected=False)),
    "identical_units": series(layout=make_layout("a/kernel", "b/kernel", constant=True)),
    "decay_only": series(layout=TWO, changes={30: DECAY}),
    "zero_gradient": series(layout=TWO, changes={30: ZERO}),
    "regularisation_only": series(
        layout=make_layout(*TWO.names, regularized=True),
        changes={30: {"gradient_weight_cosine": 0.999}},
    ),
    "weight_divergence": series(changes={30: {"weight_norm": 1e4}}),
    "vanishing_gradient": series(layout=TWO, changes={30: FADED}),
    "lost_update": series(
        layout=make_layout(dtype="bfloat16"), changes={30: {"update_zero_fraction": 0.9}}
    ),
    "dead_update": series(layout=TWO, changes={30: STILL}),
    "weights_too_large": series(layout=Layout((LARGE,)), update_ratio=1e-4, window_change=1e-4),
    "update_too_small": series(changes={30: {"update_ratio": 5e-7, "window_change": 5e-7}}),
    "update_too_large": series(loss=1.0, changes={11: {"loss": 2.0}, 30: {"update_ratio": 0.5}}),
    "signal_lost": series(150, layout=ACTIVE, unit_std=1e-3),
    "learning_rate_vanished": series(100, changes={10: {"learning_rate": 1e-9}}),
    "loss_diverging": of_losses([1.0] * 30 + [5.0] * 40),
    "loss_oscillating": of_losses([1.0] * 10 + [0.5, 3.5] * 50),
    "loss_stuck": [make_record(s, epoch=s // 100) for s in range(1, 1050)],
    "loss_scale": [make_record(s, loss_scale=2.0 ** (15 - max(s - 30, 0))) for s in range(1, 61)],
    "always_clipped": series(layout=CLIPPED),
}
HEALTHY = {
    "plain": [make_record(s, TWO) for s in range(1, 501)],
    "with activations": of_losses([0.99**s for s in range(500)], ACTIVE),
}


@pytest.fixture(params=DETECTORS)
def rule(request):
    return request.param


def _alerts(detector, records):
    return [alert.to_json() for alert in run(detector, records)]


def test_every_rule_has_a_sick_series():
    """None is left out of the tests below."""
    assert set(SICK) == set(DETECTORS)


def test_it_speaks_of_its_series(rule):
    """Each makes alerts in its own name, with numbers, a sentence and a remedy."""
    alerts = run(DETECTORS[rule](), SICK[rule])
    assert {alert.state for alert in alerts} >= {"raised"}
    for alert in alerts:
        assert (alert.rule, alert.diagnosis) == (rule, rule)
        assert alert.severity in SEVERITIES
        assert math.isfinite(alert.value)
        assert math.isfinite(alert.threshold)
        assert alert.first_seen <= alert.last_seen <= alert.step
        for text in (alert.message, alert.remedy):
            assert text.endswith(".")
            assert not re.search(r"[{}]|nan|  ", text)
        assert alert.link == f"docs/alerts/{rule}.md"


def test_name_and_repr(rule):
    """The name in alerts is the name to ask for it; the repr shows every parameter."""
    make = DETECTORS[rule]
    detector = make()
    assert detector.name == rule
    same = eval(repr(detector), {type(detector).__name__: make})
    assert repr(same) == repr(detector)
    assert re.findall(r"(\w+)=", repr(detector)) == list(inspect.signature(make).parameters)


def test_reset_makes_it_as_good_as_new(rule):
    """After a reset it says the same of the same records, called alone or by a panel."""
    make, records = DETECTORS[rule], SICK[rule]
    detector = make()
    first = _alerts(detector, records)
    assert first
    assert _alerts(detector, records) == first == _alerts(make(), records)
    told = [detector.reset(), *(repr(detector.update(record)) for record in records)]
    assert told == [detector.reset(), *(repr(detector.update(record)) for record in records)]
    assert any(item not in (None, "[]") for item in told)


def test_it_does_not_change_its_input(rule):
    """Records are shared between detectors: one that writes into their arrays fails."""
    records = copy.deepcopy(SICK[rule])
    for record in records:
        for array in (*record.quantities.values(), *record.activations.values()):
            array.flags.writeable = False
    assert run(DETECTORS[rule](), records)
    for before, after in zip(SICK[rule], records, strict=True):
        assert before.layout == after.layout


def test_it_survives_pickling_in_mid_run(rule):
    """State can be carried over to another process."""
    detector, records = DETECTORS[rule](), SICK[rule]
    half = len(records) // 2
    for record in records[:half]:
        detector.update(record)
    twin = pickle.loads(pickle.dumps(detector))
    for record in records[half:]:
        assert repr(detector.update(record)) == repr(twin.update(record))


@pytest.mark.parametrize("kind", HEALTHY)
def test_silent_on_a_healthy_run(rule, kind):
    """500 healthy records make no findings."""
    detector = DETECTORS[rule]()
    assert all(detector.update(record) == [] for record in HEALTHY[kind])


UNKNOWN = {
    "no activations": {"activations": {}},
    "no quantities": {"quantities": {}, "activations": {}, "global_gradient_norm": math.nan},
    "NaN everywhere": {
        **dict.fromkeys((*NAMES, *ACTIVATION_NAMES), math.nan),
        "learning_rate": math.nan,
        "loss": math.nan,
        "loss_is_known": False,
        "global_gradient_norm": math.nan,
    },
}
# Findings that come from the layout alone, or from what these records still hold.
KNOWN_ANYWAY = {
    "not_connected": {"no activations", "NaN everywhere"},
    "identical_units": {"no activations", "NaN everywhere"},
    "always_clipped": {"no activations"},
    "output_mismatch": {"no activations", "NaN everywhere"},
}


@pytest.mark.parametrize("missing", UNKNOWN)
def test_missing_numbers_are_no_fault(rule, missing):
    """What was not recorded neither alarms nor crashes, before a sick series and behind it."""
    layout = SICK[rule][0].layout
    if not layout.activations:
        layout = dataclasses.replace(layout, activations=ACTIVE.activations)
    lacking = [make_record(s, layout, **UNKNOWN[missing]) for s in range(1, 100)]
    detector = DETECTORS[rule]()
    found = [finding for record in lacking for finding in detector.update(record)]
    assert bool(found) == (missing in KNOWN_ANYWAY.get(rule, ()))
    for record in SICK[rule]:
        detector.update(record)
    for record in lacking:
        detector.update(record)


@pytest.mark.parametrize("field", [*NAMES, *ACTIVATION_NAMES, "learning_rate", "loss"])
def test_nan_in_any_one_field_of_a_healthy_run(field):
    """A number that cannot be had, here and there or always, is no reason for an alert."""
    unknown = {field: math.nan} | ({"loss_is_known": False} if field == "loss" else {})
    for period in (1, 7):
        records = [
            make_record(s, ACTIVE, epoch=s // 50, **(unknown if s % period == 0 else {}))
            for s in range(1, 201)
        ]
        assert run(None, records) == []


def test_one_record_is_no_run(rule):
    """A first record alone is enough for what is certain, and for nothing else."""
    told = [alert.diagnosis for alert in run(DETECTORS[rule](), SICK[rule][-1:])]
    assert told == ([rule] if rule in ("nonfinite", "not_connected") else [])


def test_steps_that_go_backwards_begin_anew(rule):
    """Weights of an earlier update were restored: what follows is judged as a run of its own."""
    records = SICK[rule]
    for end in (len(records), len(records) // 2):
        begun = [*records[:end], *records]
        assert _alerts(DETECTORS[rule](), begun) == _alerts(DETECTORS[rule](), records)


def test_variables_may_change_between_records(rule):
    """Another set of variables and activations, and back: no crash."""
    other = make_layout("x/kernel", activations=ACTIVE.activations[:1])
    records = SICK[rule]
    half = len(records) // 2
    last = records[-1].step
    moved = [make_record(s, other) for s in range(last + 1, last + 40)]
    back = [dataclasses.replace(r, step=r.step + 2 * last) for r in records]
    detector = DETECTORS[rule]()
    for record in [*records[:half], *moved, *back]:
        detector.update(record)
    run(None, [*records[:half], *moved, *back])


NUMBERS = [math.nan, "1", True, None, -1.0]
COUNTS = [-1, 1.5, True, None, "3"]


def _bad_arguments():
    for name, make in DETECTORS.items():
        for parameter in inspect.signature(make).parameters.values():
            for value in COUNTS if isinstance(parameter.default, int) else NUMBERS:
                given = name, parameter.name, value
                yield pytest.param(*given, id="-".join(map(str, given)))


@pytest.mark.parametrize(("name", "parameter", "value"), list(_bad_arguments()))
def test_arguments_are_validated(name, parameter, value):
    """One sentence: which one, what is allowed, what was given."""
    says = rf"{parameter} must be (an int of at least|a number).*; got {re.escape(repr(value))}\."
    with pytest.raises(ValueError, match=says):
        DETECTORS[name](**{parameter: value})


def test_patience_may_not_be_zero(rule):
    """One record at least."""
    with pytest.raises(ValueError, match=r"patience must be an int of at least 1; got 0\."):
        DETECTORS[rule](patience=0)


def test_choosing_detectors():
    """By name, as objects or functions, all by default; anything else is refused."""
    assert [detector.name for detector in make_detectors(None)] == list(DETECTORS)
    assert [detector.name for detector in make_detectors("dead_update")] == ["dead_update"]
    own = Recorder()
    assert make_detectors([own, "nonfinite"])[0] is own
    assert make_detectors(own) == [own]
    with pytest.raises(ValueError, match=r"'nonfinite', .*'dead_update'.*; got 'frozen'\."):
        make_detectors(["frozen"])
    with pytest.raises(TypeError, match="update\\(record\\) and reset\\(\\)"):
        make_detectors([object()])
    with pytest.raises(TypeError, match="an object, not a class"):
        make_detectors(Recorder)


def test_the_end_of_a_fit_clears_nothing(rule):
    """It has no numbers of its own: what held at the last sample holds, with the same samples."""

    def held():
        return [(finding.variable, finding.samples) for finding in panel.active]

    has_patience = "patience" in inspect.signature(DETECTORS[rule]).parameters
    panel = Panel(DETECTORS[rule](**({"patience": 1} if has_patience else {})))
    records = []
    for count, record in enumerate(SICK[rule], 1):
        panel.update(record)
        if panel.active:
            records = SICK[rule][:count]
    panel.reset()
    for record in records:
        panel.update(record)
    before = held()
    assert before
    assert panel.update(ended(records)[-1]) == []
    assert held() == before
