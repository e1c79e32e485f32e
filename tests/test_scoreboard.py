"""The scoreboard: rules of other tools, the truth of programs, and one run from end to end."""

from __future__ import annotations

import json
import math

import keras
import numpy as np
import pytest

import tbwatch.detectors
from benchmarks import scoreboard
from benchmarks.scoreboard_parts import judged, measurement, peers, program, programs, report
from benchmarks.scoreboard_parts.figures import FIGURES
from benchmarks.scoreboard_parts.labels import LABELS_OF
from benchmarks.scoreboard_parts.program import LABELS, Program
from tbwatch import causes
from tbwatch.layout import Layout, WatchedActivation
from tbwatch.testing import make_layout, make_record

TWO = make_layout("h1/kernel", "out/kernel", shape=(10, 10))  # a norm of 1 is an rms of 0.1


def _fired(rules, records):
    return [(one.rule, one.step, one.variable) for one in rules(records)]


def _series(length=10, layout=TWO, per_epoch=1, losses=None, **at):
    """Healthy records, one epoch after the other, with `at` = {quantity: {step: value}}."""
    records = []
    for step in range(1, length + 1):
        values = {name: by_step[step] for name, by_step in at.items() if step in by_step}
        loss = losses[step - 1] if losses else 1.0 / step
        epoch = (step - 1) // per_epoch
        records.append(make_record(step, layout, loss=loss, epoch=epoch, **values))
    return records


@pytest.mark.parametrize("name", peers.PEERS)
def test_no_peer_fires_on_a_healthy_series(name):
    """Ten epochs with a falling loss and usual norms give nothing."""
    assert _fired(peers.PEERS[name], _series()) == []


@pytest.mark.parametrize(
    ("quantity", "value", "rule"),
    [
        # rms 0.99e-7 is below 1e-7: a norm of 9.9e-7 over 100 elements.
        ("gradient_norm", [0.1, 9.9e-7], "VanishingGradient"),
        ("gradient_nonfinite", [0, 1], "ExplodingTensor"),
        # 10.1 times the weights' norm of 1.
        ("update_norm", [1e-3, 10.1], "WeightUpdateRatio large"),
        ("update_norm", [1e-3, 0.9e-8], "WeightUpdateRatio small"),
        ("gradient_zero_fraction", [0.5, 1.0], "AllZero"),
    ],
)
def test_sagemaker_rules_fire_at_the_very_update(quantity, value, rule):
    """A value beyond the documented default at update 4 fires at 4, for the second variable."""
    records = _series(**{quantity: {4: value, 5: value}})
    assert _fired(peers.sagemaker, records) == [(rule, 4, "out/kernel")]


@pytest.mark.parametrize(
    ("quantity", "value"),
    [
        ("gradient_norm", [0.1, 1.1e-6]),
        ("update_norm", [1e-3, 9.9]),
        ("update_norm", [1e-3, 1.1e-8]),
        ("gradient_zero_fraction", [0.5, 0.99]),
    ],
)
def test_sagemaker_rules_are_silent_within_their_defaults(quantity, value):
    """Just inside the limit nothing fires."""
    assert _fired(peers.sagemaker, _series(**{quantity: {4: value}})) == []


def test_unchanged_tensor_needs_three_samples():
    """A change below 1e-8 between three samples: two small differences in a row."""
    # weights and init have rms 0.1, so a ratio of 0.9e-7 is an rms change of 0.9e-8.
    once = _series(window_change={4: 0.9e-7, 6: 0.9e-7})
    assert _fired(peers.sagemaker, once) == []
    twice = _series(window_change={4: 0.9e-7, 5: 0.9e-7})
    assert _fired(peers.sagemaker, twice) == [("UnchangedTensor", 5, "h1/kernel")]


def test_peers_leave_biases_alone():
    """A bias that starts at zero has no ratio: rules about ratios do not judge it."""
    layout = make_layout("h1/kernel", "h1/bias", shape=(10, 10))
    records = _series(layout=layout, weight_norm={1: [1.0, 0.0]}, update_norm={1: [1e-3, 1.0]})
    assert _fired(peers.sagemaker, records) == []


def _with_outputs(function="relu", is_output=False, **values):
    activation = WatchedActivation("h1", "h1", function, units=4, is_output=is_output)
    layout = Layout(TWO.variables, activations=(activation,))
    records = []
    for step in range(1, 11):
        now = {"activation_mean": 0.3 + step}
        now |= {name: by_step[step] for name, by_step in values.items() if step in by_step}
        outputs = {name: np.array([value], np.float32) for name, value in now.items()}
        fields = {"loss": 1.0 / step, "epoch": step - 1, "activations": outputs}
        records.append(make_record(step, layout, **fields))
    return records


def test_rules_about_outputs():
    """Dead and saturated units and constant outputs, each at its documented share."""
    dead = _with_outputs(silent_units={4: 0.5, 6: 0.51})
    assert _fired(peers.sagemaker, dead) == [("DeadRelu", 6, "h1")]
    saturated = _with_outputs("tanh", saturated_units={4: 0.5, 7: 0.6})
    assert _fired(peers.sagemaker, saturated) == [("SaturatedActivation", 7, "h1")]
    zero = _with_outputs(activation_zero_fraction={3: 1.0})
    assert _fired(peers.sagemaker, zero) == [("AllZero", 3, "h1")]
    # DeepDiagnosis looks at dead nodes in the last epoch only, at the others each fifth.
    node = _with_outputs(activation_zero_fraction={5: 0.9, 10: 0.7})
    assert _fired(peers.deepdiagnosis, node) == [("dead node", 10, "h1")]
    assert _fired(peers.deepdiagnosis, _with_outputs(activation_zero_fraction={10: 0.69})) == []
    limit = _with_outputs("sigmoid", saturated_fraction={4: 0.9, 10: 0.51})
    assert _fired(peers.deepdiagnosis, limit) == [("saturated activation", 10, "h1")]
    same = _with_outputs(activation_mean=dict.fromkeys(range(6, 11), 0.25))
    assert _fired(peers.deepdiagnosis, same) == [("unchanged tensor", 10, "h1")]
    # The model's own output may be as it likes.
    own = _with_outputs("sigmoid", True, saturated_units={4: 1.0}, saturated_fraction={5: 1.0})
    assert _fired(peers.sagemaker, own) == _fired(peers.deepdiagnosis, own) == []


FLAT = [1.0] * 10


def test_autotrainer_gradients():
    """First against last kernel beyond 70 or below 1e-3, from 30 % of the epochs on."""
    stuck = {"losses": FLAT}
    slow = ("slow convergence", 3, "loss")
    up = {1: [8.0, 0.1], 4: [7.1, 0.1]}  # epoch 1 is too early
    assert _fired(peers.autotrainer, _series(gradient_norm=up, **stuck)) == [
        slow,
        ("exploding gradient", 4, "h1/kernel"),
    ]
    down = {4: [0.99e-4, 0.1]}
    assert _fired(peers.autotrainer, _series(gradient_norm=down, **stuck)) == [
        slow,
        ("vanishing gradient", 4, "h1/kernel"),
    ]
    dead = {4: [1.0, 0.41]}  # 70.5 % of all elements, both variables being of one size
    assert _fired(peers.autotrainer, _series(gradient_zero_fraction=dead, **stuck)) == [
        slow,
        ("dying ReLU", 4, "h1/kernel"),
    ]
    # What learns is not judged by its gradients: the loss is below 70 % from the second epoch on.
    assert _fired(peers.autotrainer, _series(gradient_norm=down)) == []


def test_autotrainer_loss():
    """Swings of 3 % in a fifth of the epochs; no fall of 1 % between two epochs."""
    # Tops 0.44, 0.44, 0.44 and bottoms 0.4: the second of each comes at epochs 4 and 5.
    saw = [1.0, 0.4, 0.44, 0.4, 0.44, 0.4, 0.44, 0.4, 0.44, 0.4]
    assert _fired(peers.autotrainer, _series(losses=saw)) == [("oscillating loss", 4, "loss")]
    small = [value if value > 0.9 else 0.4 + (value - 0.4) / 2 for value in saw]  # 2 %
    assert _fired(peers.autotrainer, _series(losses=small)) == []
    lost = [1.0, 0.9, math.nan, *FLAT[3:]]
    assert _fired(peers.autotrainer, _series(losses=lost)) == [("exploding gradient", 3, "loss")]


def test_epochs_are_judged_once():
    """With two updates per epoch the epoch's last record counts, and its mean loss."""
    zero = {"gradient_zero_fraction": {3: 1.0}}
    assert _fired(peers.deepdiagnosis, _series(per_epoch=2, **zero)) == []
    zero = {"gradient_zero_fraction": {4: 1.0}}
    expected = [("numerical error: zero", 4, "h1/kernel")]
    assert _fired(peers.deepdiagnosis, _series(per_epoch=2, **zero)) == expected


def test_deepdiagnosis_loss():
    """NaN at once, a constant loss in the fifth epoch."""
    flat = [("loss not decreasing", 5, "loss")]
    assert _fired(peers.deepdiagnosis, _series(losses=FLAT)) == flat
    lost = [*FLAT[:3], math.inf, *FLAT[4:]]
    assert _fired(peers.deepdiagnosis, _series(losses=lost)) == [("numerical error", 4, "loss")]
    vanished = _series(gradient_norm={2: [9.9e-7, 0.1]})
    assert _fired(peers.deepdiagnosis, vanished) == [("vanishing gradient", 2, "h1/kernel")]


def test_every_diagnosis_has_labels():
    """No diagnosis that exists is left out of the dictionary, and its labels are known ones."""
    explained = set().union(*causes.EXPLAINS.values())
    exist = {*tbwatch.detectors.DETECTORS, *causes.EXPLAINS, *explained, *causes.POINTING}
    assert "learning_rate_too_low" in exist, "a diagnosis that is no detector's name"
    assert exist - set(LABELS_OF) == set()
    assert {label for labels in LABELS_OF.values() for label in labels} <= set(LABELS)


def test_programs():
    """At least 60 healthy and 25 faulty programs, each with the means to verify it."""
    own = programs.own_programs()
    assert sum(p.healthy for p in own) >= 60
    assert sum(not p.healthy for p in own) >= 25
    assert set(FIGURES) == {p.id for p in own if p.healthy}
    for p in (p for p in own if p.healthy):
        start, end, _ = FIGURES[p.id]
        assert p.measure is not None
        assert end >= p.goal, p.id
        assert start < p.goal or p.learned_before, p.id
    for p in own:
        assert p.healthy or set(p.labels) & set(measurement.CHECKS), p.id


def test_a_program_needs_a_truth():
    """Unknown labels, and labels of a healthy program, are refused."""
    with pytest.raises(ValueError, match="labels must be out of"):
        Program("x", "", healthy=False, labels=("sick",))
    with pytest.raises(ValueError, match="healthy or has labels"):
        Program("x", "", healthy=True, labels=("nonfinite",))


def test_losses_of_batches():
    """The running means 4, 3, 2 of an epoch are the losses 4, 2, 0; the next epoch starts anew."""
    losses = measurement.Losses()
    for means in ([4.0, 3.0, 2.0], [5.0, 7.0]):
        losses.on_epoch_begin(0)
        for batch, mean in enumerate(means):
            losses.on_train_batch_end(batch, {"loss": mean})
    assert losses.values == pytest.approx([4.0, 2.0, 0.0, 5.0, 9.0])


def _state(loss=1.0, merit=0.0, kernel=0.1, gradient=1.0):
    values = np.linspace(0.5, 1.5, 12).reshape(3, 4) * kernel
    return measurement.State(loss, merit, {"h/kernel": values}, {"h/kernel": gradient}, {}, {})


def test_what_a_run_shows_is_measured():
    """A run that learns has no symptom; standing still, NaN and missing gradients are seen."""
    losses = np.linspace(1.0, 0.1, 50)

    def symptoms(start, end, losses=losses):
        return measurement.symptoms(measurement.Evidence(start, end, losses, ()))

    assert symptoms(_state(), _state(0.1, kernel=0.2)) == []
    still = symptoms(_state(), _state(1.0), np.ones(50))
    assert still == ["unchanged_weights", "loss_not_decreasing"]
    # The changed kernel tells a low rate from a dead one.
    slow = symptoms(_state(), _state(0.95, kernel=0.10001), np.ones(50))
    assert slow == ["slow_or_low_lr"]
    assert "disconnected" in symptoms(_state(gradient=None), _state(0.1, kernel=0.2))
    assert "nonfinite" in symptoms(_state(), _state(0.1, kernel=math.nan))


def test_falling_to_chance_is_no_learning():
    """A loss that falls from 3 to ln 4, for four classes that are equally frequent, is stuck."""
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(4)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    chance = measurement.chance_loss(model, (np.zeros((8, 3)), np.arange(8) % 4))
    assert chance == pytest.approx(math.log(4))
    start, end = _state(3.0), _state(1.386, kernel=0.2)
    stuck = measurement.Evidence(start, end, np.linspace(3, 1.386, 50), (), chance)
    assert measurement.symptoms(stuck) == ["loss_not_decreasing"]
    assert measurement.symptoms(measurement.Evidence(start, end, stuck.losses, ())) == []


def test_a_program_that_does_not_learn_is_left_out():
    """The measured figure decides, not the label."""
    healthy = Program("x", "", measure=program.r2, goal=0.8)
    run = measurement.Evidence(_state(), _state(0.5, merit=0.79), np.ones(50), ())
    assert "it reached 0.79" in measurement.verdict(healthy, run)
    run = measurement.Evidence(_state(), _state(0.1, merit=0.81), np.ones(50), ())
    assert measurement.verdict(healthy, run) == ""
    run = measurement.Evidence(_state(merit=0.9), _state(0.1, merit=0.95), np.ones(50), ())
    assert "before training" in measurement.verdict(healthy, run)


def test_figures_of_merit():
    """Accuracy and R2 of a model whose outputs are known."""
    x = np.eye(3, dtype=np.float32)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Activation("linear")])
    assert program.accuracy(model, (x, np.array([0, 1, 1]))) == pytest.approx(2 / 3)
    assert program.accuracy(model, (x, x[[0, 2, 2]])) == pytest.approx(2 / 3)
    # Squared error 9 * 0.25, spread of the columns (0.5, 1.5, 0.5) around their means: 3 * 2 / 9.
    assert program.r2(model, (x, x + 0.5)) == pytest.approx(1 - 0.25 / (2 / 9))


def test_scores():
    """Right, also true, wrong; and the layer that is named."""
    truth = Program(
        "x", "", healthy=False, labels=("dying_relu",), acceptable=("slow_or_low_lr",),
        where=("h2",),
    )  # fmt: skip
    dead = judged.Said("dead_relu", ("dying_relu",), 5, ("h2/activation",))
    slow = judged.Said("update_too_small", ("slow_or_low_lr",), 5, ("h1/kernel",))
    lost = judged.Said("nonfinite", ("nonfinite",), 5, ("loss",))
    score = judged.score(truth, [dead, slow, lost])
    assert score.right == (dead,)
    assert score.wrong == (lost,)
    assert score.at_layer
    assert score.main
    assert judged.score(truth, [slow]).at_layer is False
    assert judged.score(Program("y", ""), [slow]).wrong == (slow,)


def test_totals():
    """Shares are counted over programs, not over alerts."""
    faulty = Program("x", "", healthy=False, labels=("dying_relu",))
    healthy = Program("y", "")
    lost = judged.Said("nonfinite", ("nonfinite",), 5, ("loss",))
    dead = judged.Said("dead_relu", ("dying_relu",), 5, ("h2/activation",))
    results = [
        judged.Judged(p, "", judged.score(p, said))
        for p, said in [(faulty, [lost, lost]), (faulty, [dead]), (faulty, []), (healthy, [lost])]
    ]
    totals = report.totals(
        [*results, judged.Judged(healthy, "", judged.score(healthy, []))], "tbwatch"
    )
    assert (totals.faulty, totals.flagged, totals.right, totals.with_wrong) == (3, 2, 1, 1)
    assert (totals.healthy, totals.alarmed) == (2, 1)


@pytest.mark.slow
def test_record_and_judge(tmp_path, capsys, monkeypatch):
    """One healthy and one faulty program from training to the tables."""
    monkeypatch.delenv("SCOREBOARD_MNIST", raising=False)
    only = "plain_linear,relu_output_negative_targets"
    chosen = ["--only", only, "--faults", "", "--mnist", "", "--out", str(tmp_path)]
    assert scoreboard.main(["--record", "--here", *chosen]) == 0
    assert "ODD" not in capsys.readouterr().out
    assert scoreboard.main(["--judge", "--json", str(tmp_path / "board.json"), *chosen]) == 0
    table = capsys.readouterr().out
    assert "| tbwatch | 1 of 1 (100 %) | 1 of 1 (100 %) | 1 of 1 (100 %) |" in table
    assert "| plain_linear | healthy | - | - | - | - |" in table
    results = {r["id"]: r for r in json.loads((tmp_path / "board.json").read_text())["programs"]}
    # Measured without tbwatch: the line is found, and the dead output never gets better.
    assert results["plain_linear"]["measured"]["merit"][1] > 0.9
    assert "dying_relu" in results["relu_output_negative_targets"]["measured"]["symptoms"]
    assert results["relu_output_negative_targets"]["tools"]["tbwatch"]["right"]


def test_unknown_program():
    """A program that does not exist is named."""
    with pytest.raises(SystemExit, match="no program called nothing"):
        scoreboard.main(["--only", "nothing", "--faults", ""])
