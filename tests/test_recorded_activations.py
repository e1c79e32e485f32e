"""Activations on their way through the event file, and files that know nothing of them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event

import tbwatch
from tbwatch import format as fmt
from tbwatch import summaries
from tbwatch.decoding import EventDecoder
from tbwatch.layout import Setup, WatchedActivation
from tbwatch.layout_json import layout_from_json, layout_to_json
from tbwatch.quantities import ACTIVATION_NAMES
from tbwatch.reader import read_run
from tbwatch.testing import Recorder, make_layout, make_record
from tests.nets import convnet, fit

ACTIVATIONS = (
    WatchedActivation("fc/pre_activation", "fc", "linear", 64, before=True),
    WatchedActivation("fc", "fc", "softmax", 10, is_output=True),
)
SETUP = Setup(
    optimizer="Adam",
    epsilon=1e-7,
    loss="categorical_crossentropy",
    chance_loss=2.3,
    optimizers=2,
    clipnorm=1.0,
    clipvalue=0.5,
    global_clipnorm=0.25,
)


def _record(step=1):
    layout = dataclasses.replace(make_layout(), activations=ACTIVATIONS, setup=SETUP)
    values = {
        name: np.array([at + step, np.nan], np.float32) for at, name in enumerate(ACTIVATION_NAMES)
    }
    return make_record(step, layout, activations=values)


def _event(record, first=True):
    event = Event(step=record.step, wall_time=record.wall_time)
    event.summary.value.extend(summaries.packed_record(record))
    if not first:
        for value in event.summary.value:
            value.ClearField("metadata")
    return event


def test_a_layout_comes_back_from_json():
    """With all that is known of activations and of compile(); a limit of infinity is left out."""
    for field in dataclasses.fields(Setup):
        assert getattr(SETUP, field.name) != field.default, "what is left out would come back too"
    layout = _record().layout
    assert layout_from_json(json.loads(json.dumps(layout_to_json(layout)))) == layout
    endless = dataclasses.replace(layout, setup=Setup(clipnorm=float("inf")))
    data = json.loads(json.dumps(layout_to_json(endless), allow_nan=False))
    assert layout_from_json(data).setup == Setup()


def test_a_layout_of_an_older_version():
    """Has neither activations nor a setup."""
    data = layout_to_json(_record().layout)
    del data["activations"], data["setup"]
    layout = layout_from_json(data)
    assert layout.activations == ()
    assert layout.setup == Setup()
    for variable in data["variables"]:
        del variable["constant"]
    assert not layout_from_json(data).variables[0].constant


@pytest.mark.parametrize("wrong", [3, [3], [{"name": "fc"}], None])
def test_activations_of_another_form(wrong):
    """Are not a layout."""
    data = {**layout_to_json(_record().layout), "activations": wrong}
    with pytest.raises(ValueError, match="not a tbwatch layout"):
        layout_from_json(data)


def test_a_record_comes_back():
    """Also where the metadata is only in the first event of the file."""
    decoder = EventDecoder()
    for step in (1, 2):
        decoded = decoder.decode(_event(_record(step), first=step == 1))
        assert decoded.problems == []
        assert decoded.record.layout == _record().layout
        assert tuple(decoded.record.activations) == ACTIVATION_NAMES
        for at, name in enumerate(ACTIVATION_NAMES):
            np.testing.assert_array_equal(decoded.record.activation(name), [at + step, np.nan])


def test_a_record_without_activations():
    """Each of their quantities is unknown for each activation; none are made up."""
    plain = EventDecoder().decode(_event(make_record(1))).record
    assert plain.activations == {}
    assert plain.activation("dead_units").shape == (0,)
    none = dataclasses.replace(_record(), activations={})
    np.testing.assert_array_equal(none.activation("dead_units"), [np.nan, np.nan])


def test_activations_of_another_layout_are_left_out():
    """And so is a kind of series that this version does not know; the rest is read."""
    event = _event(_record())
    for value in event.summary.value:
        content = json.loads(value.metadata.plugin_data.content)
        if value.tag == "tbwatch/dead_units":
            content["activations"] = ["fc"]
        if value.tag == "tbwatch/unit_std":
            content["kind"] = "of_tomorrow"
        value.metadata.plugin_data.content = json.dumps(content).encode()
    decoded = EventDecoder().decode(event)
    assert set(ACTIVATION_NAMES) - set(decoded.record.activations) == {"dead_units", "unit_std"}
    assert sorted(decoded.problems) == [
        "tag 'tbwatch/dead_units' left out: its activations are not the layout's",
        "tag 'tbwatch/unit_std' of unknown kind 'of_tomorrow' left out",
    ]


def test_the_kind_in_the_file_is_one_of_its_own():
    """A reader that expects one value per variable is not misled."""
    kinds = {
        value.tag: fmt.decode_metadata(value.metadata.plugin_data.content)["kind"]
        for value in summaries.packed_record(_record())
    }
    assert {tag for tag, kind in kinds.items() if kind == "activation"} == {
        f"tbwatch/{name}" for name in ACTIVATION_NAMES
    }


def test_what_a_fit_recorded_is_read_back(tmp_path):
    """The same numbers, layout and setup as while it ran."""
    recorder = Recorder()
    fit(convnet(), tbwatch.Watch(tmp_path, update_freq=1, detectors=[recorder]), updates=4)
    read = {r.step: r for r in read_run(tmp_path).records if not r.is_last}
    live = [record for record in recorder.records if record.activations]
    assert [record.step for record in live] == [1, 2, 3, 4]
    for record in live:
        assert read[record.step].layout == record.layout
        assert record.layout.setup.optimizer == "Adam"
        for name in ACTIVATION_NAMES:
            np.testing.assert_array_equal(
                read[record.step].activation(name), record.activation(name)
            )
