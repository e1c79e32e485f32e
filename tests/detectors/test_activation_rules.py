"""Layers whose units are dead or saturated."""

import math

import pytest

from tbwatch.detectors.dead_relu import DeadRelu
from tbwatch.detectors.saturated_activation import SaturatedActivation
from tbwatch.layout import Setup, WatchedActivation
from tbwatch.testing import make_layout, make_record, run
from tests.detectors.series import changes, events, of_losses, series


def _layout(function, **fields):
    """Layer a with this activation function, and layer b with a healthy one."""
    made = WatchedActivation("a", "a", function, units=10, **fields)
    other = WatchedActivation("b", "b", "linear", units=1, is_output=True)
    return make_layout("a/kernel", "b/kernel", activations=[made, other])


RELU, TANH = _layout("relu"), _layout("tanh")
A = ("a/activation",)


def test_dead_relu_is_raised_and_cleared():
    """Seven of ten units dead from update 140 to 159: three records to raise, ten to clear."""
    changed = {140: {"dead_units": [0.7, 0]}, 160: {"dead_units": 0.0}}
    records = series(180, layout=RELU, changes=changed)
    assert events(DeadRelu(), records) == [
        (142, "raised", "dead_relu", "warning", A),
        (169, "cleared", "dead_relu", "warning", A),
    ]
    raised = run(DeadRelu(), records)[0]
    assert "7 of its 10 ReLU units" in raised.message
    assert raised.value == pytest.approx(0.7)
    assert raised.threshold == DeadRelu().share
    assert raised.evidence["units"] == 10


@pytest.mark.parametrize(
    ("first", "says"),
    [
        (0.0, "They fired at first: lower the learning rate about tenfold; then He"),
        (0.5, "They fired at first: lower the learning rate"),
        (1.0, "They never fired: no negative initial biases, inputs"),
        (math.nan, "They never fired"),  # as far as is known
    ],
)
def test_what_helps_depends_on_whether_the_units_ever_fired(first, says):
    """A rate kills units that have fired; those that never did were born dead."""
    silent = {"silent_units": [1.0, 0.0]}
    records = series(60, layout=RELU, silent_units=[first, 0.0], changes={5: silent})
    (alert,) = run(DeadRelu(), records)
    assert alert.remedy.startswith(says)
    assert ("fires any more" in alert.message) == ("fired at first" in says)
    (of_output,) = run(DeadRelu(), series(60, layout=_layout("relu", is_output=True), **silent))
    assert of_output.remedy.startswith("Use no ReLU for an output")


@pytest.mark.parametrize(
    ("share", "left", "severity"),
    [
        (0.4, 1.0, None),
        (0.7, 1.0, "warning"),
        (0.9, 1.0, "warning"),
        (0.96, 1.0, "critical"),
        (1.0, 1.0, "critical"),
        (0.9, 0.85, "info"),
        (0.96, 0.85, "critical"),
        (0.4, 0.4, None),
        (0.9, 0.4, "info"),
        (0.96, 0.4, "info"),
        (1.0, 0.4, "warning"),
    ],
)
def test_severity_of_dead_units(share, left, severity):
    """By their share, and by how much of the loss is left: who learns has units to spare."""
    losses = [1.0] * 10 + [left] * 150
    records = [
        make_record(s, RELU, loss=x, dead_units=[share if s > 130 else 0, 0])
        for s, x in enumerate(losses, 1)
    ]
    told = [event[3] for event in events(DeadRelu(), records)]
    assert told == ([severity] if severity else [])


def test_in_the_first_hundred_updates_it_is_news_not_a_fault():
    """Half a layer may be dead on the way down; if it stays so, that is worse."""
    records = series(120, layout=RELU, changes={30: {"dead_units": [0.7, 0]}})
    assert [event[:4] for event in events(DeadRelu(), records)] == [
        (32, "raised", "dead_relu", "info"),
        (100, "worsened", "dead_relu", "warning"),
    ]


def test_a_layer_that_is_silent_as_a_whole():
    """Ten batches in a row without any output are enough, and then patience."""
    changed = {30: {"silent_units": [1.0, 0]}}
    assert events(DeadRelu(), series(60, layout=RELU, changes=changed)) == [
        (41, "raised", "dead_relu", "critical", A)
    ]
    changed[39] = {"silent_units": [0.9, 0]}
    assert events(DeadRelu(), series(60, layout=RELU, changes=changed)) == []


def test_worse_is_told():
    """From seven units to all of them: a second alert, with the first one's time."""
    changed = {130: {"dead_units": [0.7, 0]}, 150: {"dead_units": [1.0, 0]}}
    alerts = run(DeadRelu(), series(180, layout=RELU, changes=changed))
    assert [(a.step, a.state, a.severity) for a in alerts] == [
        (132, "raised", "warning"),
        (150, "worsened", "critical"),
    ]
    assert alerts[1].first_seen == 130
    assert "nothing passes" in alerts[1].message


@pytest.mark.parametrize("function", ["sigmoid", "tanh", "elu", "gelu", "linear", "softmax", ""])
def test_other_functions_have_no_dead_units(function):
    """A zero means something else there; unknown functions are not judged."""
    assert events(DeadRelu(), series(layout=_layout(function), dead_units=[1.0, 0])) == []


def test_neither_before_the_function_nor_by_zeros():
    """What a ReLU receives is not its output; nor is the share of zeros the share of dead units."""
    before = _layout("relu", before=True)
    assert events(DeadRelu(), series(layout=before, dead_units=[1.0, 0])) == []
    zeros = {"activation_zero_fraction": 0.98, "silent_units": 0.9}
    assert events(DeadRelu(), series(layout=RELU, **zeros)) == []


def test_relu6_is_one_too():
    """The same slope of 0 below 0."""
    layout = _layout("relu6")
    assert changes(DeadRelu(), series(layout=layout, dead_units=[0.7, 0])) == [(21, "raised")]


def test_the_share_is_a_parameter():
    """Seven of ten are too many by default, not at 0.8."""
    records = series(layout=RELU, dead_units=[0.7, 0])
    assert changes(DeadRelu(), records) == [(21, "raised")]
    assert changes(DeadRelu(share=0.8), records) == []


def test_several_layers_share_an_alert():
    """In the order in which the step computes them, the gravest severity of all."""
    made = [WatchedActivation(name, name, "relu", units=10) for name in "ba"]
    layout = make_layout("b/kernel", "a/kernel", activations=made)
    assert events(DeadRelu(), series(layout=layout, dead_units=[0.7, 1.0])) == [
        (21, "raised", "dead_relu", "critical", ("b/activation", "a/activation"))
    ]


def test_saturated_activation():
    """Most outputs of a hidden layer at their limits, from update 40 to 59."""
    changed = {40: {"saturated_fraction": [0.8, 0]}, 60: {"saturated_fraction": 0.0}}
    records = series(80, layout=TANH, changes=changed)
    assert events(SaturatedActivation(), records) == [
        (42, "raised", "saturated_activation", "warning", A),
        (69, "cleared", "saturated_activation", "warning", A),
    ]
    raised = run(SaturatedActivation(), records)[0]
    assert raised.value == pytest.approx(0.8)
    assert "80% of its tanh outputs" in raised.message


@pytest.mark.parametrize(
    ("layout", "values"),
    [
        (_layout("sigmoid", is_output=True), {"saturated_fraction": [1.0, 0]}),
        (_layout("sigmoid", before=True), {"saturated_fraction": [1.0, 0]}),
        (TANH, {"saturated_fraction": [0.6, 0]}),
        (TANH, {"saturated_units": [1.0, 0]}),
        (TANH, {"saturated_fraction": math.nan}),
    ],
)
def test_look_alikes_of_saturation(layout, values):
    """A sure answer at the output, pre-activations, a part of the outputs, what is not known."""
    assert events(SaturatedActivation(), series(layout=layout, **values)) == []


@pytest.mark.parametrize(
    ("loss", "left", "fires"),
    [
        ("mean_squared_error", 1.0, True),
        ("mean_squared_error", 0.4, False),
        ("binary_crossentropy", 1.0, False),
        ("", 1.0, False),
    ],
)
def test_an_output_that_cannot_reach_its_targets(loss, left, fires):
    """At its limits, while a loss that is no cross-entropy does not fall."""
    out = WatchedActivation("a", "a", "tanh", units=10, is_output=True)
    layout = make_layout("a/kernel", activations=[out], setup=Setup(loss=loss))
    records = of_losses([1.0] * 10 + [left] * 50, layout, saturated_fraction=0.8)
    told = [step for step, state in changes(SaturatedActivation(), records) if state == "raised"]
    assert bool(told) == fires


@pytest.mark.parametrize(("left", "fires"), [(0.04, False), (0.1, True)])
def test_saturation_of_a_converged_run(left, fires):
    """Less than 5 % of the loss is left: what is saturated has found its place."""
    losses = [1.0] * 10 + [left] * 90
    records = [
        make_record(s, TANH, loss=x, saturated_fraction=[float(s > 50), 0])
        for s, x in enumerate(losses, 1)
    ]
    assert bool(events(SaturatedActivation(), records)) == fires


def test_the_share_of_saturated_outputs_is_a_parameter():
    """Eight of ten are too many at 0.7, not at 0.9."""
    records = series(layout=TANH, saturated_fraction=[0.8, 0])
    assert changes(SaturatedActivation(), records) == [(21, "raised")]
    assert changes(SaturatedActivation(share=0.9), records) == []
