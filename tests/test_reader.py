"""Reading records back: every file here was written by TensorFlow's writer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from tbwatch import summaries
from tbwatch.events import EventWriter
from tbwatch.layout import Layout, WatchedVariable
from tbwatch.reader import read_run
from tbwatch.record import Record
from tests import event_files as ef


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Step, clock, layout, quantities and every value of the update."""
    layout = ef.layout_json("a/kernel", "a/bias", connected=["a/kernel"], frozen=["e/table"])
    layout["variables"][1]["initial_rms"] = 0.5
    update = {
        "epoch": 3,
        "learning_rate": 0.5,
        "loss": 2.5,
        "loss_is_known": 1,
        "global_gradient_norm": 7.25,
        "loss_scale": 1024,
        "judged": 0,
    }
    quantities = {"update_ratio": [0.125, np.nan], "weight_norm": [np.inf, 4.0]}
    events = [ef.version_event(), ef.event(12, ef.record_values(layout, quantities, update))]
    ef.write(tmp_path / "run1", events)
    run = read_run(tmp_path / "run1")
    (record,) = run.records
    assert (run.name, run.path, run.steps) == ("run1", tmp_path / "run1", [12])
    assert (run.alerts, run.holding, run.notes) == ([], {}, [])
    assert (record.step, record.wall_time) == (12, 1012.0)
    assert record.layout == Layout(
        (
            WatchedVariable("a/kernel", (3, 2), "float32", None, True),
            WatchedVariable("a/bias", (3, 2), "float32", 0.5, False),
        ),
        frozen=("e/table",),
    )
    assert list(record.quantities) == ["update_ratio", "weight_norm"]
    for name, expected in quantities.items():
        assert record.quantities[name].dtype == np.float32
        np.testing.assert_array_equal(record.quantities[name], expected)
    assert (record.epoch, record.learning_rate, record.loss) == (3, 0.5, 2.5)
    assert (record.loss_is_known, record.judged) == (True, False)
    assert isinstance(record.epoch, int)
    assert (record.global_gradient_norm, record.loss_scale, record.logs) == (7.25, 1024.0, {})


def test_the_project_s_own_writer_is_read_back(tmp_path: Path) -> None:
    """Writer and reader agree on the format: the record that went in comes out."""
    from tbwatch.quantities import NAMES

    layout = Layout((WatchedVariable("a/kernel", (3, 2), initial_rms=0.5),), frozen=("b/kernel",))
    quantities = {
        name: np.array([number + 0.5], np.float32) for number, name in enumerate(NAMES, 1)
    }
    written = Record(
        step=7,
        wall_time=99.5,
        layout=layout,
        quantities=quantities,
        epoch=2,
        learning_rate=0.25,
        loss=1.5,
        loss_is_known=True,
        global_gradient_norm=3.5,
        loss_scale=8.0,
        judged=False,
    )
    writer = EventWriter(str(tmp_path))
    writer.write(7, 99.5, list(summaries.packed_record(written)))
    writer.close()
    (read,) = read_run(tmp_path).records
    assert set(read.quantities) == set(NAMES)
    for name in NAMES:
        np.testing.assert_array_equal(read.quantities[name], quantities[name])
    for field in ("step", "wall_time", "layout", "epoch", "learning_rate", "loss", "logs"):
        assert getattr(read, field) == getattr(written, field)
    for field in ("loss_is_known", "global_gradient_norm", "loss_scale", "judged"):
        assert getattr(read, field) == getattr(written, field)


def test_update_columns_are_found_by_name(tmp_path: Path) -> None:
    """In any order, unknown ones ignored, missing ones at the record's default."""
    update = {"judged": 0, "brand_new": 5, "loss": 2.0, "epoch": 4}
    values = ef.record_values(ef.layout_json("a"), {"update_ratio": [1.0]}, update)
    ef.write(tmp_path, [ef.version_event(), ef.event(1, values)])
    (record,) = read_run(tmp_path).records
    assert (record.judged, record.loss, record.epoch) == (False, 2.0, 4)
    assert (record.loss_is_known, record.loss_scale) == (False, 1.0)
    assert np.isnan(record.learning_rate)


@pytest.mark.parametrize("known", [0, 1])
def test_a_loss_of_nan_differs_from_an_unknown_one(known: int, tmp_path: Path) -> None:
    """Both are NaN; only the one that was reported is a fault."""
    update = ef.DEFAULTS | {"loss": np.nan, "loss_is_known": known}
    values = ef.record_values(ef.layout_json("a"), {"update_ratio": [1.0]}, update)
    ef.write(tmp_path, [ef.version_event(), ef.event(1, values)])
    assert read_run(tmp_path).records[0].loss_is_nonfinite is bool(known)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([1, 2, 3], [1, 2, 3]), ([7], [7, 7, 7]), ([1, 2], [1, 2, 2])],
)
def test_tensors_in_repeated_fields_are_read(
    numbers: list[float], expected: list[float], tmp_path: Path
) -> None:
    """`float_val` holds the values, and its last one repeats, as TensorFlow itself reads it."""
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=numbers)
    tensor.tensor_shape.dim.add(size=3)
    np.testing.assert_array_equal(tf.make_ndarray(tensor), expected)
    values = ef.record_values(ef.layout_json("a", "b", "c"), {"update_ratio": [0, 0, 0]})
    values[0].tensor.CopyFrom(tensor)
    ef.write(tmp_path, [ef.version_event(), ef.event(1, values)])
    np.testing.assert_array_equal(read_run(tmp_path).records[0].quantity("update_ratio"), expected)


def bad_tensor(**fields: object) -> tensor_pb2.TensorProto:
    """A float32 tensor of shape `[2]` with some fields set."""
    tensor = tensor_pb2.TensorProto(**({"dtype": types_pb2.DT_FLOAT} | fields))
    if "tensor_shape" not in fields:
        tensor.tensor_shape.dim.add(size=2)
    return tensor


@pytest.mark.parametrize(
    "tensor",
    [
        bad_tensor(),
        bad_tensor(tensor_content=bytes(4)),
        bad_tensor(tensor_content=bytes(7)),
        bad_tensor(tensor_content=bytes(12)),
        bad_tensor(float_val=[1, 2, 3]),
        bad_tensor(dtype=types_pb2.DT_INT32, tensor_content=bytes(8)),
        tf.make_tensor_proto(np.zeros(3, np.float32)),
        tf.make_tensor_proto(np.zeros((2, 1), np.float32)),
        tf.make_tensor_proto(np.float32(1.0)),
    ],
)
def test_a_tensor_of_another_form_is_left_out_alone(
    tensor: tensor_pb2.TensorProto, tmp_path: Path
) -> None:
    """Too few or many values, another dtype or shape: a note; the other quantities are read."""
    values = ef.record_values(
        ef.layout_json("a", "b"), {"update_ratio": [1.0, 2.0], "weight_norm": [3.0, 4.0]}
    )
    values[0].tensor.CopyFrom(tensor)
    ef.write(tmp_path, [ef.version_event(), ef.event(1, values)])
    run = read_run(tmp_path)
    assert list(run.records[0].quantities) == ["weight_norm"]
    assert len(run.notes) == 1
    assert "values left out" in run.notes[0]


def test_a_quantity_of_other_variables_is_left_out(tmp_path: Path) -> None:
    """Values whose names are not the layout's could be shown under a wrong name."""
    layout = ef.layout_json("a", "b")
    values = ef.record_values(layout, {"update_ratio": [1.0, 2.0]})
    about = ef.metadata("quantity", variables=["b", "a"])
    values.append(ef.value("tbwatch/weight_norm", np.zeros(2, np.float32), about))
    ef.write(tmp_path, [ef.version_event(), ef.event(1, values)])
    run = read_run(tmp_path)
    assert list(run.records[0].quantities) == ["update_ratio"]
    assert "tag 'tbwatch/weight_norm' left out: its variables are not the layout's" in run.notes[0]


@pytest.mark.parametrize(
    ("about", "note"),
    [
        (ef.metadata("quantity", version=2), "format version 2, this tbwatch reads up to 1"),
        (ef.metadata("quantity", plugin="scalars"), "of plugin 'scalars' left out"),
        (ef.metadata("recipe"), "of unknown kind 'recipe' left out"),
        (ef.metadata("quantity"), "no list of texts called 'variables'"),
        (ef.metadata("update", names=["loss"], layout={"variables": [{}]}), "layout"),
        (ef.metadata("update", names=["loss"], layout=[1]), "layout"),
    ],
)
def test_a_series_that_is_not_understood_is_left_out_alone(
    about: bytes, note: str, tmp_path: Path
) -> None:
    """A newer format, a foreign plugin, an unknown kind, broken metadata: one note, no values."""
    layout = ef.layout_json("a")
    events = [ef.version_event()]
    for step in (1, 2, 3):
        values = ef.record_values(layout, {"update_ratio": [1.0]}, first=step == 1)
        tensor = np.zeros(1, np.float32)
        values.append(ef.value("tbwatch/odd", tensor, about if step == 1 else None))
        events.append(ef.event(step, values))
    ef.write(tmp_path, events)
    run = read_run(tmp_path)
    assert [list(record.quantities) for record in run.records] == [["update_ratio"]] * 3
    assert len(run.notes) == 1
    assert note in run.notes[0]


def test_series_of_other_plugins_are_no_concern(tmp_path: Path) -> None:
    """What TensorBoard's own tabs show is in the same events, and is passed over silently."""
    values = ef.record_values(ef.layout_json("a"), {"update_ratio": [1.0]})
    values.append(ef.value("update_ratio/a", 5.0))
    values.append(ef.value("weights/a", np.zeros((2, 3)), ef.metadata("?", plugin="histograms")))
    ef.write(tmp_path, [ef.version_event(), ef.event(1, values)])
    run = read_run(tmp_path)
    assert list(run.records[0].quantities) == ["update_ratio"]
    assert run.notes == []
