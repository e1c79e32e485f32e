"""The non-finite detector: at which updates it fires, and what it names."""

import math

import pytest

from tbwatch.detectors import NonFinite
from tbwatch.layout import WatchedActivation
from tbwatch.testing import make_layout, make_record, run

LAYOUT = make_layout("a/kernel", "b/kernel", "c/kernel")


def _events(records, detector=None):
    alerts = run(detector or NonFinite(), records)
    return [(a.step, a.state, a.variables) for a in alerts]


def _series(bad=(), last=40, **values):
    return [make_record(s, LAYOUT, **(values if s in bad else {})) for s in range(1, last + 1)]


@pytest.mark.parametrize("field", ["weight_nonfinite", "update_nonfinite"])
def test_fires_at_the_first_record_and_names_forward_order(field):
    """No patience for NaN; the alert names the first variable in forward order, then the others."""
    values = {field: [0, 2, 5]}
    assert _events(_series(range(7, 41), **values)) == [(7, "raised", ("b/kernel", "c/kernel"))]


def test_gradients_alone_begin_at_the_last_layer():
    """Backward it spreads toward the input: the layer nearest to the loss is where it arose."""
    (alert,) = run(NonFinite(), _series(range(7, 41), gradient_nonfinite=[2, 5, 0]))
    assert (alert.step, alert.variables) == (7, ("b/kernel", "a/kernel"))
    assert "it arises behind this layer" in alert.message


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("weight_nonfinite", "Check the inputs for NaN"),
        ("gradient_nonfinite", "Look for NaN in the inputs (a ReLU hides it), and behind c"),
        ("update_nonfinite", "The gradient is finite, so look at the learning rate"),
    ],
)
def test_what_helps_depends_on_what_was_lost(field, says):
    """A finite gradient is nothing to look behind."""
    (alert,) = run(NonFinite(), _series(range(7, 41), **{field: [0, 0, 5]}))
    assert alert.remedy.startswith(says)
    assert ("it arises behind this layer" in alert.message) == (field == "gradient_nonfinite")


RELUS = [WatchedActivation(name, name, "relu", units=8) for name in "abc"]
WITH_RELUS = make_layout(*LAYOUT.names, activations=RELUS)


def test_the_first_activation_is_the_origin():
    """NaN goes forward from there: it is named first, what follows behind it, all in order."""
    lost = {"activation_nonfinite": [0, 3, 8], "loss": math.nan, "gradient_nonfinite": 4096}
    records = [make_record(s, WITH_RELUS, **(lost if s >= 7 else {})) for s in range(1, 41)]
    (alert,) = run(NonFinite(), records)
    assert (alert.step, alert.severity, alert.value) == (7, "critical", 3.0)
    assert alert.variables[0] == "b/activation"
    assert set(alert.variables[1:]) == {"c/activation", "loss", *LAYOUT.names}
    assert "3 elements of what b hands on are NaN" in alert.message
    assert "all activations before it are finite" in alert.message


def test_the_loss_is_the_origin_if_all_activations_are_finite():
    """Then log(0) and the like in the loss itself is to blame; without activations nobody knows."""
    lost = {"loss": math.nan, "gradient_nonfinite": 4096}
    records = [make_record(s, WITH_RELUS, **(lost if s >= 7 else {})) for s in range(1, 41)]
    (alert,) = run(NonFinite(), records)
    assert alert.variables == ("loss", *LAYOUT.names)
    assert "it arises in the loss itself" in alert.message
    assert "log(0)" in alert.remedy
    for unknown in ({"activations": {}}, {"activation_nonfinite": math.nan}):
        records = [make_record(s, WITH_RELUS, **(lost | unknown)) for s in range(1, 41)]
        (alert,) = run(NonFinite(), records)
        assert alert.variables == (*LAYOUT.names, "loss")
        assert "arises" not in alert.message


def test_where_it_arose_is_kept_while_it_spreads():
    """At the next update all weights are lost: what is left still names the loss, and its remedy.

    What is new follows; once all is well again, the next time is judged by itself.
    """
    first = {"loss": math.nan, "gradient_nonfinite": [4096, 4096, 0]}
    spread = {"loss": math.nan, "weight_nonfinite": 4096, "activation_nonfinite": 8}
    again = {"activation_nonfinite": [0, 3, 8]}
    values = {7: first, 8: spread, 9: spread, 30: again}
    rule = NonFinite()
    found = {s: rule.update(make_record(s, WITH_RELUS, **values.get(s, {}))) for s in range(1, 31)}
    for step in (7, 8, 9, 10):
        (origin,) = (finding for finding in found[step] if not finding.follows)
        assert origin.variable == "loss"
        assert "it arises in the loss itself" in origin.message
    assert {f.variable for f in found[9]} == {"loss", *LAYOUT.names, *(r.label for r in RELUS)}
    assert found[12] == []
    (origin,) = (finding for finding in found[30] if not finding.follows)
    assert origin.variable == "b/activation"


def test_weights_that_were_lost_before_hide_the_origin():
    """With sparse samples the update that lost them was not recorded: forward order it is."""
    lost = {"weight_nonfinite": [1, 4096, 4096], "activation_nonfinite": 8, "loss": math.nan}
    (alert,) = run(NonFinite(), [make_record(s, WITH_RELUS, **lost) for s in range(50, 90)])
    assert alert.variables[:2] == ("a/kernel", "a/activation")
    assert alert.variables[-1] == "loss"
    assert "finite:" not in alert.message


def test_a_record_of_a_batch_alone():
    """Between samples only the loss is known: NaN there is told at once."""
    records = [make_record(s, LAYOUT) for s in range(1, 10)]
    records.append(make_record(12, LAYOUT, quantities={}, loss=math.nan))
    assert _events(records) == [(12, "raised", ("loss",))]


def test_the_loss_alone():
    """A loss that is NaN while every gradient is finite is named as such."""
    assert _events(_series(range(9, 41), loss=math.nan)) == [(9, "raised", ("loss",))]
    assert _events(_series(range(9, 41), loss=math.inf)) == [(9, "raised", ("loss",))]
    assert _events(_series(range(1, 41), loss=math.nan, loss_is_known=False)) == []


def test_clears_after_three_clean_records():
    """One bad record, then clean ones: cleared at the third."""
    assert _events(_series([7], gradient_nonfinite=[0, 1, 0])) == [
        (7, "raised", ("b/kernel",)),
        (10, "cleared", ("b/kernel",)),
    ]
    assert _events(_series([7], gradient_nonfinite=1), NonFinite(patience=5))[-1][0] == 12


def test_evidence():
    """Counts by tensor, and the last update at which all was finite with its gradient norm."""
    records = _series([7], gradient_nonfinite=[0, 3, 0], weight_nonfinite=[0, 1, 0])
    records[5] = make_record(6, LAYOUT, global_gradient_norm=12.5)
    alert = run(NonFinite(), records)[0]
    assert alert.severity == "critical"
    assert alert.value == 4
    assert alert.evidence == {
        "nonfinite_gradient": 3.0,
        "nonfinite_weights": 1.0,
        "last_finite_update": 6.0,
        "last_finite_gradient_norm": 12.5,
    }
    assert "3 in the gradient, 1 in the weights of 4096 elements" in alert.message


def test_silent_on_healthy_and_on_missing_numbers():
    """10 000 healthy records, records of NaN counts, records without quantities."""
    assert _events(_series(last=10_000)) == []
    assert _events(_series(range(1, 41), gradient_nonfinite=math.nan)) == []
    assert _events([make_record(s, LAYOUT, quantities={}) for s in range(1, 50)]) == []
