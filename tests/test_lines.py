"""What a watch prints: a line at the beginning, a line at the end, and nothing in between."""

from __future__ import annotations

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

import tbwatch
from tbwatch import lines
from tbwatch.reader import read_run
from tbwatch.schedule import Schedule
from tbwatch.testing import make_layout, make_record
from tests.alert_cases import make_alert
from tests.nets import L, compile_, convnet, fit


def dead():
    """Its hidden layer never fires."""
    keras.utils.set_random_seed(3)
    never = keras.initializers.Constant(-100.0)
    layers = [L.Input((8, 8, 1)), L.Flatten()]
    layers += [L.Dense(8, "relu", bias_initializer=never, name="fc1"), L.Dense(3, name="out")]
    return compile_(keras.Sequential(layers, name="dead"))


def said(text):
    """The lines of ours."""
    return [line for line in text.splitlines() if line.startswith("tbwatch: ")]


def test_two_lines_beside_the_progress_bar(tmp_path, capsys):
    """What is watched, how often, where to; what was found, and how to see it."""
    model = convnet()
    fit(model, tbwatch.Watch(tmp_path), updates=9, verbose="auto")
    printed = capsys.readouterr().out
    assert said(printed) == [
        f"tbwatch: watching 6 variables and 3 activations of {model.name}, at each of the first 50 "
        f"updates, then less often; records go to {tmp_path}",
        f"tbwatch: no alerts in 9 sampled updates; to see the run: tensorboard --logdir {tmp_path}",
    ]
    assert printed.index("watching") < printed.index("9/9") < printed.index("no alerts")


@pytest.mark.parametrize(
    ("of_watch", "of_fit", "count"),
    [("auto", 0, 0), ("auto", 1, 2), ("auto", 2, 2), (1, 0, 2), (True, 0, 2), (0, 2, 0)],
)
def test_it_is_as_quiet_as_keras_unless_told(of_watch, of_fit, count, tmp_path, capsys):
    fit(convnet(), tbwatch.Watch(tmp_path, verbose=of_watch), updates=2, verbose=of_fit)
    assert len(said(capsys.readouterr().out)) == count


def test_the_last_line_names_what_was_found(tmp_path, capsys):
    fit(dead(), tbwatch.Watch(tmp_path, update_freq=2), updates=60, verbose=2)
    first, last = said(capsys.readouterr().out)
    assert ", at every 2nd batch; records" in first
    assert last.startswith("tbwatch: 2 alerts: critical dead_relu since update ")
    assert last.endswith(
        f"; what to do: tbwatch summary {tmp_path}; to see the run: tensorboard --logdir {tmp_path}"
    )


def test_an_alert_does_not_continue_the_bar(tmp_path, caplog):
    """With the bar, which `verbose="auto"` means too, it begins on a line of its own."""
    for verbose, begins in (("auto", "\ntbwatch: "), (1, "\ntbwatch: "), (2, "tbwatch: ")):
        caplog.clear()
        fit(dead(), tbwatch.Watch(tmp_path / str(verbose)), updates=25, verbose=verbose)
        told = [record.getMessage() for record in caplog.records if "dead_relu" in record.message]
        assert [text.partition("CRITICAL")[0] for text in told] == [begins]


def test_where_keras_logs_the_lines_are_logged(tmp_path, capsys, caplog):
    keras.config.disable_interactive_logging()
    try:
        with caplog.at_level(logging.INFO, "tbwatch"):
            fit(convnet(), tbwatch.Watch(tmp_path, verbose=1), updates=2)
    finally:
        keras.config.enable_interactive_logging()
    assert said(capsys.readouterr().out) == []
    told = [record.getMessage() for record in caplog.records if record.name == "tbwatch"]
    assert [text.split()[1] for text in told] == ["watching", "no"]


def test_a_loop_has_its_lines_too(tmp_path, capsys):
    model = convnet()
    x, y = np.zeros((8, 8, 8, 1), "float32"), np.zeros(8)
    with tbwatch.attach(model, tmp_path, update_freq=1) as watch:
        assert repr(watch) == f"<LoopWatch {str(tmp_path)!r}: 0 alerts, open>"
        for _ in range(3):
            with tf.GradientTape() as tape:
                loss = model.compute_loss(y=y, y_pred=model(x, training=True))
            weights = model.trainable_variables
            model.optimizer.apply(tape.gradient(loss, weights), weights)
            watch.step(loss=loss)
    first, last = said(capsys.readouterr().out)
    assert ", at every batch; records" in first
    assert "no alerts in 3 sampled updates" in last
    assert repr(watch) == f"<LoopWatch {str(tmp_path)!r}: 0 alerts, closed>"


def test_a_second_fit_counts_anew(tmp_path, capsys):
    model, watch = convnet(), tbwatch.Watch(tmp_path, verbose=1)
    fit(model, watch, updates=3)
    fit(model, watch, updates=2)
    counts = [line.split(";")[0] for line in said(capsys.readouterr().out)[1::2]]
    assert counts == [
        "tbwatch: no alerts in 3 sampled updates",
        "tbwatch: no alerts in 2 sampled updates",
    ]


def test_nobody_listens(tmp_path, monkeypatch):
    """A stdout that is closed does not end the training."""

    class Closed:
        encoding = "utf-8"

        def write(self, text):
            raise BrokenPipeError

        flush = write

    watch = tbwatch.Watch(tmp_path, verbose=1)
    monkeypatch.setattr("sys.stdout", Closed())
    fit(convnet(), watch, updates=2)
    monkeypatch.undo()
    assert len(read_run(tmp_path).steps) >= 2


@pytest.mark.parametrize("verbose", [2, -1, "yes", None, "1"])
def test_a_wrong_switch_is_refused(verbose, tmp_path):
    with pytest.raises(ValueError, match='verbose must be "auto", 0 or 1; got '):
        tbwatch.Watch(tmp_path, verbose=verbose)


def test_last_lines():
    """What was cleared is no news, what was not recorded no success, names do not steer."""
    old = make_alert(state="cleared")
    assert "no alert is left of those that were raised" in lines.last_line([], [old], 9, 0, "a")
    assert lines.last_line([], [], 0, 1, "a") == "no update was recorded; 1 problem in the log"
    many = [make_alert(diagnosis=f"d{n}\x1b[31m", first_seen=n) for n in range(5)]
    told = lines.last_line(many, many, 9, 0, "my logs")
    assert (
        "warning d2?[31m since update 2 and 2 more; what to do: tbwatch summary 'my logs';" in told
    )
    assert "d3" not in told


@pytest.mark.parametrize(
    ("update_freq", "words"),
    [
        (1, "at every batch"),
        (3, "at every 3rd batch"),
        (11, "at every 11th batch"),
        (21, "at every 21st batch"),
        (112, "at every 112th batch"),
        ("epoch", "at the end of each epoch"),
    ],
)
def test_schedules_in_words(update_freq, words):
    assert Schedule(update_freq).described() == words


def test_representations_are_short(tmp_path):
    """A notebook shows these: no arrays, no remedies."""
    layout = make_layout("a/kernel", "a/bias")
    assert repr(layout) == "<Layout of 2 variables, 0 activations>"
    assert repr(make_record(7, layout, loss=0.25)) == "<Record of update 7, loss 0.25: 2 variables>"
    assert repr(make_record(7, layout, loss_is_known=False)) == "<Record of update 7: 2 variables>"
    alert = make_alert(variables=("a/kernel", "a/bias"))
    told = "<Alert warning zero_gradient raised at update 30: a/kernel and 1 more>"
    assert repr([alert]) == f"[{told}]"
    watch = tbwatch.Watch(tmp_path)
    assert repr(watch) == f"<Watch {str(tmp_path)!r}: 0 alerts>"
    assert repr(tbwatch.GradientNorms("logs")) == "<GradientNorms 'logs'>"
    fit(convnet(), watch, updates=2)
    # The end of a fit is a record too.
    assert repr(read_run(tmp_path)) == f"<Run {tmp_path.name}: 3 records, 0 alerts>"
