"""Root cause over symptoms."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from tbwatch import causes
from tbwatch.alerts import Finding
from tbwatch.causes import EXPLAINS, POINTING, STARVED, attributed
from tbwatch.detectors import DETECTORS
from tbwatch.layout import Layout, WatchedActivation
from tbwatch.testing import make_layout, make_record, run
from tests.detectors.series import ZERO
from tests.doc_pages import DOCS

LAYOUT = make_layout(
    "a/kernel",
    "b/kernel",
    "c/kernel",
    activations=[WatchedActivation(name, name, "relu", units=8) for name in "abc"],
)
RECORD = make_record(30, LAYOUT)
DEAD_B = ("dead_relu", "b/activation")


def finding(
    diagnosis: str, variable: str, severity: str = "warning", value: float = 1.0
) -> Finding:
    """A finding of which the test names what matters."""
    return Finding(
        diagnosis, diagnosis, severity, variable, f"M of {variable}.", value, 0.5, f"R {diagnosis}."
    )


def told(*findings: Finding) -> list[tuple[str, str, bool]]:
    """Diagnosis, variable, and whether it follows."""
    return [(f.diagnosis, f.variable, f.follows) for f in attributed(findings, RECORD)]


def test_names_are_those_of_the_rules() -> None:
    """Each cause and each symptom is a diagnosis that there is."""
    known = {*DETECTORS, "learning_rate_too_low", "signal_lost"}
    assert {*EXPLAINS, *STARVED, *POINTING, *(s for e in EXPLAINS.values() for s in e)} <= known


def test_what_starves_reaches_everywhere_and_points() -> None:
    """The three sets, spelt out."""
    assert sorted(STARVED) == [
        "dead_update",
        "decay_only",
        "lost_update",
        "regularisation_only",
        "update_too_small",
        "vanishing_gradient",
        "zero_gradient",
    ]
    assert sorted(causes.ANYWHERE) == [
        "always_clipped",
        "dead_update",
        "exploding_gradient",
        "identical_units",
        "output_mismatch",
        "regularisation_only",
        "update_too_large",
        "vanishing_gradient",
        "zero_gradient",
    ]
    assert sorted(POINTING) == [
        "learning_rate_too_low",
        "loss_diverging",
        "loss_oscillating",
        "loss_stuck",
    ]


def test_what_explains_what_is_what_the_page_says() -> None:
    """Each row of its table is a cause; whatever starves is listed in the first one."""
    table = DOCS["alerts.md"].partition("| cause | accounts for")[2].partition("\n\n")[0]
    documented = {}
    for line in table.splitlines()[2:]:
        cause, symptoms = line.strip("| ").split(" | ")
        (name,), named = re.findall(r"`(\w+)`", cause), set(re.findall(r"`(\w+)`", symptoms))
        if "whatever starves:" in symptoms:
            assert named >= STARVED
        if re.search("whatever starves|other forms of starving", symptoms):
            named |= STARVED - {name}
        documented[name] = named
    assert documented == EXPLAINS


@pytest.mark.parametrize("symptom", sorted(STARVED))
@pytest.mark.parametrize("variable", ["a/kernel", "c/kernel"])
def test_a_dead_layer_starves_its_neighbours(symptom: str, variable: str) -> None:
    """What has no signal before and behind it is listed with it, under its diagnosis."""
    assert told(finding(*DEAD_B), finding(symptom, variable)) == [
        (*DEAD_B, False),
        ("dead_relu", variable, True),
    ]


def test_a_follower_has_the_words_of_its_cause() -> None:
    """Message, numbers and remedy are those of the cause, whatever the order of the findings."""
    cause, symptom = finding(*DEAD_B, "critical"), finding("zero_gradient", "a/kernel", value=0.1)
    for findings in ([cause, symptom], [symptom, cause]):
        (follower,) = (f for f in attributed(findings, RECORD) if f.follows)
        assert (follower.variable, follower.rule) == ("a/kernel", "dead_relu")
        assert (follower.message, follower.value) == (cause.message, cause.value)
        assert (follower.remedy, follower.severity) == (cause.remedy, "critical")


@pytest.mark.parametrize(
    "cause",
    [
        finding(*DEAD_B, "info"),  # no harm done
        finding(*DEAD_B, value=0.6),  # four units in ten still pass something
        finding("loss_stuck", "loss"),
        finding("saturated_activation", "a/activation"),  # before it, not behind it
        finding("always_clipped", "learning_rate"),
    ],
)
def test_what_explains_nothing(cause: Finding) -> None:
    """Each stands for itself."""
    symptom = finding("zero_gradient", "c/kernel")
    own = [f for f in attributed([cause, symptom], RECORD) if f.variable == "c/kernel"]
    assert own == [symptom]


@pytest.mark.parametrize(("variable", "follows"), [("a/kernel", True), ("c/kernel", False)])
def test_gradients_come_from_behind(variable: str, follows: bool) -> None:
    """Saturated units starve what lies before them, not what lies behind."""
    cause = finding("saturated_activation", "b/activation")
    assert told(cause, finding("vanishing_gradient", variable))[1][2] == follows
    assert told(cause, finding("weights_too_large", variable))[1][2] == follows


@pytest.mark.parametrize(("layer", "follows"), [("a", False), ("c", True)])
def test_a_dead_layer_loses_the_signal_behind_it(layer: str, follows: bool) -> None:
    """What it hands on is the same for every input; what lies before it is not its fault."""
    lost = finding("signal_lost", f"{layer}/activation")
    assert told(finding(*DEAD_B), lost)[1][2] == follows
    assert not told(finding(*DEAD_B, value=0.6), lost)[1][2], "some of its units still fire"


@pytest.mark.parametrize("variable", ["a/kernel", "c/kernel"])
def test_some_causes_reach_everywhere(variable: str) -> None:
    """Constant kernels and exploding gradients spare no layer, whichever is named first."""
    assert told(finding("identical_units", "b/kernel"), finding("zero_gradient", variable))[1][2]
    exploding = finding("exploding_gradient", "b/kernel", "critical")
    assert told(exploding, finding("update_too_large", variable))[1][2]
    assert told(exploding, finding("loss_diverging", "loss"))[1] == (
        "exploding_gradient",
        "loss",
        True,
    )


def test_clipping_and_a_false_output_starve_the_net() -> None:
    """Both reach every layer, as long as they are more than an `info`."""
    clipped = finding("always_clipped", "learning_rate")
    assert told(clipped, finding("dead_update", "a/kernel"))[1][2]
    assert not told(clipped, finding("zero_gradient", "a/kernel"))[1][2]
    output = finding("output_mismatch", "b/activation", "critical")
    for symptom in ("zero_gradient", "vanishing_gradient", "dead_update"):
        for variable in ("a/kernel", "c/kernel"):
            assert told(output, finding(symptom, variable))[1][2]
    assert told(output, finding("dead_relu", "a/activation"))[1][2]


def test_a_variable_does_not_explain_itself() -> None:
    """Two findings about one variable: the first has the word later on, none is a follower."""
    both = finding("vanishing_gradient", "a/kernel"), finding("dead_update", "a/kernel")
    assert not any(follows for _, _, follows in told(*both))


def test_the_loss_points_at_what_lies_behind_it() -> None:
    """It keeps its diagnosis, and takes the remedy of the gravest finding about a layer."""
    loss = finding("loss_stuck", "loss")
    small = finding("update_too_small", "c/kernel")
    dead = finding("zero_gradient", "b/kernel", "critical")
    (*_, pointing) = attributed([small, dead, loss], RECORD)
    assert (pointing.diagnosis, pointing.variable) == ("loss_stuck", "loss")
    assert pointing.message == "M of loss. Behind it: zero_gradient of b/kernel."
    assert pointing.remedy == dead.remedy
    assert pointing.evidence["cause"] == "zero_gradient"
    assert attributed([loss], RECORD) == [loss]


def test_the_loss_does_not_point_at_itself_nor_at_what_is_no_fault() -> None:
    """Other findings about the loss, and infos, are not behind it."""
    loss = finding("loss_stuck", "loss")
    for other in (finding("always_clipped", "learning_rate", "info"), finding(*DEAD_B, "info")):
        assert attributed([other, loss], RECORD) == [other, loss]


def test_a_finding_without_a_remedy_explains_no_loss() -> None:
    """What somebody's own function says of the run does not take the remedy away."""
    loss = finding("loss_diverging", "loss")
    own = Finding("loud", "loud", "warning", "run", "It is loud.", 1.0, 0.5, "")
    assert attributed([own, loss], RECORD) == [own, loss]
    assert told(finding("learning_rate_too_low", "loss"), own)[0][0] == "learning_rate_too_low"


def test_a_rate_is_not_to_blame_where_a_layer_is() -> None:
    """`learning_rate_too_low` becomes a loss that is stuck, if a layer is sick."""
    loss = finding("learning_rate_too_low", "loss")
    assert told(loss) == [("learning_rate_too_low", "loss", False)]
    dead = finding("zero_gradient", "b/kernel", "critical")
    assert told(dead, loss)[1] == ("loss_stuck", "loss", False)


def test_one_alert_from_records_to_the_end() -> None:
    """A dead layer in the middle: one alert, the layer first, then those that it starves."""
    dead = {"dead_units": [0, 1.0, 0], "silent_units": [0, 1.0, 0]}
    records = [make_record(s, LAYOUT, **{**dead, **ZERO}) for s in range(1, 60)]
    (alert,) = run(None, records)
    assert (alert.step, alert.diagnosis, alert.severity) == (21, "dead_relu", "critical")
    assert alert.variables == ("b/activation", *LAYOUT.names)


def by_definition(symptom, findings, record):
    """The first finding that explains a symptom, looked for one by one."""
    rank = record.layout.rank
    for cause in findings:
        if symptom.diagnosis not in causes.EXPLAINS.get(cause.diagnosis, ()):
            continue
        if cause.severity == "info" or cause.variable == symptom.variable:
            continue
        if cause.diagnosis == "dead_relu":
            explains = cause.value >= causes.WHOLE_LAYER
            if symptom.diagnosis == "signal_lost":
                explains = explains and rank(cause.variable) <= rank(symptom.variable)
        elif cause.diagnosis in causes.ANYWHERE:
            explains = True
        else:
            explains = rank(symptom.variable) <= rank(cause.variable)
        if explains:
            return cause
    return None


def random_findings(count, seed):
    """Findings of all kinds about variables of a deep net, in any order."""
    rng = np.random.default_rng(seed)
    names = [f"d{n}/kernel" for n in range(count)]
    diagnoses = sorted({*causes.EXPLAINS, *(d for of in causes.EXPLAINS.values() for d in of)})
    return names, [
        Finding(
            rule=diagnosis,
            diagnosis=diagnosis,
            severity=str(rng.choice(["info", "warning", "critical"])),
            variable=str(rng.choice(names)),
            message="",
            value=float(rng.choice([0.5, 0.96])),
            threshold=0.0,
            remedy="",
        )
        for diagnosis in rng.choice(diagnoses, count)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_causes_are_those_of_the_definition(seed):
    """Of many findings, sorted and searched, as of each looked at for each."""
    names, findings = random_findings(200, seed)
    names = names[: 4 + seed]  # few, so that several findings are about one variable
    chosen = np.random.default_rng(seed).choice(names, 200)
    findings = [
        dataclasses.replace(f, variable=str(v)) for f, v in zip(findings, chosen, strict=True)
    ]
    record = make_record(1, make_layout(*names))
    found = causes._Causes(findings, record)
    for symptom in findings:
        assert found.of(symptom) is by_definition(symptom, findings, record)


def test_a_thousand_sick_layers_are_judged_in_a_moment(monkeypatch):
    """The work grows with the findings, not with their square: counted, not timed."""
    looks = 0
    rank = Layout.rank

    def counted(self, name):
        nonlocal looks
        looks += 1
        return rank(self, name)

    monkeypatch.setattr(Layout, "rank", counted)
    for count in (100, 1000):
        looks = 0
        names, findings = random_findings(count, 1)
        explained = attributed(findings, make_record(1, make_layout(*names)))
        assert len(explained) == count
        assert looks < 20 * count


def test_what_lies_before_does_not_explain_in_the_place_of_the_variable_itself():
    """The layer that is saturated is the symptom's own, the other one lies before it."""
    symptom = finding("weights_too_large", "c/kernel")
    own = finding("saturated_activation", "c/kernel")
    before = finding("saturated_activation", "a/kernel")
    assert causes._Causes([own, before, symptom], RECORD).of(symptom) is None
    behind = finding("saturated_activation", "c/activation")
    assert causes._Causes([own, before, behind, symptom], RECORD).of(symptom) is behind
