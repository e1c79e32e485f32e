"""Reading runs back: every file here was written by TensorFlow's writer, then perhaps damaged."""

from __future__ import annotations

import io
import os
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from tbwatch import summaries
from tbwatch.events import EventWriter
from tbwatch.framing import crc32c, masked_crc32c, read_frames
from tbwatch.layout import Layout, WatchedVariable
from tbwatch.reader import ReadError, find_runs, read_run, read_runs
from tbwatch.record import Record
from tbwatch.testing import make_record
from tests import event_files as ef


def framed(payload: bytes, folder: Path) -> bytes:
    """A payload as TensorFlow frames it."""
    path = str(folder / "one_record")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(payload)
    return Path(path).read_bytes()


def frame_starts(data: bytes) -> list[int]:
    """Where the records of an undamaged file begin, and where the last one ends."""
    starts = [0]
    while starts[-1] < len(data):
        starts.append(starts[-1] + 16 + struct.unpack_from("<Q", data, starts[-1])[0])
    return starts


def flipped(data: bytes, offset: int, bit: int = 0) -> bytes:
    """The same bytes with one bit changed."""
    changed = bytearray(data)
    changed[offset] ^= 1 << bit
    return bytes(changed)


def steps_of(run: Path) -> list[int]:
    """Steps of a run's records."""
    return [record.step for record in read_run(run).records]


# --- checksum and framing


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_crc32c_agrees_with_the_published_values(data: bytes, expected: int) -> None:
    """RFC 3720, appendix B.4, and the catalogue's check value."""
    assert crc32c(data) == expected


@pytest.mark.parametrize(
    "size",
    [1, 31, 63, 64, 65, 67, 1023, 1024, 1025, 1027, 2048, 5000, 65535, 65536, 65537, 200_003],
)
def test_crc32c_agrees_with_tensorflow_at_every_kind_of_size(size: int, tmp_path: Path) -> None:
    """Short, whole blocks, blocks and a rest, more than one chunk: as in TensorFlow's footer."""
    data = random.Random(size).randbytes(size)
    assert masked_crc32c(data) == struct.unpack("<I", framed(data, tmp_path)[-4:])[0]


def test_frames_are_what_tensorflow_wrote(tmp_path: Path) -> None:
    """Payloads of all sizes, the empty one too, come back with their offsets."""
    payloads = [b"", b"a", bytes(64), bytes(range(256)) * 20]
    data = b"".join(framed(payload, tmp_path) for payload in payloads)
    frames = list(read_frames(io.BytesIO(data), len(data)))
    assert [frame.payload for frame in frames] == payloads
    assert [frame.offset for frame in frames] == [0, 16, 33, 113]


@pytest.mark.parametrize("length", [2**64 - 1, 2**62, 2**31, 29])
def test_a_claimed_length_beyond_the_end_is_never_read(length: int, tmp_path: Path) -> None:
    """A length with a right checksum but without the bytes costs nothing and ends the file."""
    asked = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            asked.append(size)
            return super().read(size)

    claimed = struct.pack("<Q", length)
    header = claimed + framed(claimed, tmp_path)[-4:]
    data = framed(b"first", tmp_path) + header + bytes(32)  # 28 bytes of payload would fit
    frames = list(read_frames(Watched(data), len(data)))
    assert [frame.payload for frame in frames] == [b"first", None]
    assert frames[1].offset == 21
    assert frames[1].damage == "last record cut off after 44 bytes, left out"
    assert max(asked) <= len(data)


def test_bytes_that_a_live_writer_adds_later_are_left_alone(tmp_path: Path) -> None:
    """Only the given size is read, as if the file ended there."""
    first = framed(b"first", tmp_path)
    frames = list(read_frames(io.BytesIO(first + framed(b"second", tmp_path)), len(first)))
    assert [frame.payload for frame in frames] == [b"first"]


# --- damage


def test_a_tail_torn_at_any_byte_costs_the_last_record_only(tmp_path: Path) -> None:
    """Everything before is read, and one note says how much of the last record was there."""
    path = ef.write(tmp_path, ef.simple_events([1, 2, 3], "a/kernel"))
    data = path.read_bytes()
    *_, last, end = frame_starts(data)
    assert end == len(data)
    for cut in range(last + 1, end):
        path.write_bytes(data[:cut])
        run = read_run(tmp_path)
        assert [record.step for record in run.records] == [1, 2]
        assert run.notes == [
            f"{path.name}: last record cut off after {cut - last} bytes, left out (at byte {last})"
        ]
    path.write_bytes(data[:last])
    assert read_run(tmp_path).notes == []
    path.write_bytes(data)
    assert steps_of(tmp_path) == [1, 2, 3]


def test_a_flipped_bit_anywhere_in_a_payload_costs_that_record_only(tmp_path: Path) -> None:
    """Payload and its checksum: the record is left out, its neighbours are read."""
    path = ef.write(tmp_path, ef.simple_events([1, 2, 3], "a/kernel"))
    data = path.read_bytes()
    start, end = frame_starts(data)[2:4]
    for offset in range(start + 12, end):
        path.write_bytes(flipped(data, offset, offset % 8))
        run = read_run(tmp_path)
        assert [record.step for record in run.records] == [1, 3]
        assert run.notes == [f"{path.name}: damaged record left out (at byte {start})"]


def test_a_flipped_bit_in_a_length_ends_the_file_there(tmp_path: Path) -> None:
    """Nothing tells where the next record begins, so the note counts what is not read."""
    path = ef.write(tmp_path, ef.simple_events([1, 2, 3], "a/kernel"))
    data = path.read_bytes()
    start = frame_starts(data)[2]
    for offset in range(start, start + 12):
        path.write_bytes(flipped(data, offset))
        run = read_run(tmp_path)
        assert [record.step for record in run.records] == [1]
        left = len(data) - start
        assert run.notes == [
            f"{path.name}: damaged record length, the last {left} bytes left out (at byte {start})"
        ]


def test_equal_damage_is_counted_not_repeated(tmp_path: Path) -> None:
    """Three damaged records make one note with a count and the first offset."""
    path = ef.write(tmp_path, ef.simple_events(range(1, 7), "a/kernel"))
    data = path.read_bytes()
    starts = frame_starts(data)
    for start in (starts[2], starts[4], starts[5]):
        data = flipped(data, start + 20)
    path.write_bytes(data)
    run = read_run(tmp_path)
    assert [record.step for record in run.records] == [1, 3, 6]
    assert run.notes == [
        f"{path.name}: damaged record left out (3 times, first at byte {starts[2]})"
    ]


def test_a_record_that_is_no_event_is_left_out(tmp_path: Path) -> None:
    """A payload with a right checksum that is no protocol buffer costs that record only."""
    events = ef.simple_events([1, 2], "a/kernel")
    ef.write(tmp_path, [*events[:2], b"\xff\xff\xff", events[2]])
    run = read_run(tmp_path)
    assert [record.step for record in run.records] == [1, 2]
    assert "record left out: not a TensorBoard event" in run.notes[0]


def test_alerts_survive_when_a_damaged_record_took_the_metadata(tmp_path: Path) -> None:
    """Without its metadata a series has no names; the list of alerts explains itself."""
    events = ef.simple_events([1, 2, 3], "a/kernel")
    events[1] = ef.event(
        1,
        [
            *ef.record_values(ef.layout_json("a/kernel"), {"update_ratio": [1.0]}),
            ef.alerts_value([ef.alert_json(step=1)]),
        ],
    )
    events[3] = ef.event(3, [ef.alerts_value([ef.alert_json(step=3)], first=False)])
    path = ef.write(tmp_path, events)
    data = path.read_bytes()
    path.write_bytes(flipped(data, frame_starts(data)[1] + 30))
    run = read_run(tmp_path)
    assert run.records == []
    assert [alert.step for alert in run.alerts] == [3]
    assert any("values whose metadata is lost left out" in note for note in run.notes)


def test_no_garbage_makes_the_reader_fail(tmp_path: Path) -> None:
    """Changed payloads with right checksums reach every later stage; only `ReadError` may come."""
    layout = ef.layout_json("a/kernel", "b/kernel")
    first = ef.record_values(layout, {"update_ratio": [1.0, 2.0]})
    second = ef.record_values(layout, {"update_ratio": [1.0, 2.0]}, first=False)
    events = [
        ef.version_event(),
        ef.event(1, [*first, ef.alerts_value([ef.alert_json()])]),
        ef.event(2, [*second, ef.alerts_value([ef.alert_json()] * 2, first=False)]),
    ]
    generator = random.Random(0)
    outcomes = set()
    for _ in range(400):
        changed = [bytearray(item) for item in events]
        for _ in range(generator.randint(1, 4)):
            item = generator.choice(changed)
            at = generator.randrange(len(item))
            if generator.random() < 0.7:
                item[at] = generator.randrange(256)
            else:
                del item[at : at + generator.randint(1, 6)]
                item.append(generator.randrange(256))
        ef.write(tmp_path, [bytes(item) for item in changed])
        try:
            outcomes.add(len(read_run(tmp_path).records))
        except ReadError:
            outcomes.add(-1)
    assert outcomes == {-1, 0, 1, 2}  # so the changes did reach all stages


def test_notes_on_a_file_of_garbage_stay_few(tmp_path: Path) -> None:
    """Beyond 20 different notes, the rest is only counted."""
    values = [ef.value(f"tbwatch/{n}", 1.0, ef.metadata("?", plugin=f"p{n}")) for n in range(100)]
    ef.write(tmp_path, [*ef.simple_events([1], "a/kernel"), ef.event(2, values)])
    notes = read_run(tmp_path).notes
    assert len(notes) == 21
    assert "further problems (80 times" in notes[-1]


# --- records


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
    from tbwatch import summaries
    from tbwatch.events import EventWriter
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


# --- alerts


def test_the_last_list_of_alerts_counts(tmp_path: Path) -> None:
    """The list is written anew when it changes; every field comes back, infinity too."""
    first = ef.alert_json(step=1)
    second = ef.alert_json(step=2, variables=["b", "a"], value="nan", severity="warning")
    events = ef.simple_events([1, 2, 3], "a")
    events.insert(2, ef.event(1, [ef.alerts_value([first])]))
    events.insert(4, ef.event(2, [ef.alerts_value([first, second], first=False)]))
    ef.write(tmp_path, events)
    run = read_run(tmp_path)
    alerts = run.alerts
    assert [alert.step for alert in alerts] == [1, 2]
    assert [record.quantity("update_ratio")[0] for record in run.records] == [1, 2, 3]
    assert alerts[0].to_json() == first
    assert (alerts[1].variables, alerts[1].severity) == (("b", "a"), "warning")
    assert np.isnan(alerts[1].value)


@pytest.mark.parametrize(
    ("entry", "note"),
    [
        ({"rule": "dead_update"}, "alert left out: not a tbwatch alert"),
        (ef.alert_json(severity="fatal"), "alert left out: not a tbwatch alert"),
        ("text", "alert left out: not a tbwatch alert"),
        (ef.alert_json(wall_time=float("inf")), "alert left out: its wall_time is not finite"),
    ],
)
def test_a_bad_alert_is_left_out_alone(entry: object, note: str, tmp_path: Path) -> None:
    """The other alerts of the list are read."""
    alerts = ef.alerts_value([ef.alert_json(step=1), entry, ef.alert_json(step=2)])
    ef.write(tmp_path, [*ef.simple_events([1], "a"), ef.event(1, [alerts])])
    run = read_run(tmp_path)
    assert [alert.step for alert in run.alerts] == [1, 2]
    assert note in run.notes[0]


@pytest.mark.parametrize(
    "tensor", ["{", "{}", b"\xff\xfe", "[" * 100_000, 1.5, np.array(["[]", "[]"])]
)
def test_a_list_of_alerts_that_is_none_is_noted(tensor: object, tmp_path: Path) -> None:
    """Broken text keeps the list before it."""
    events = ef.simple_events([1], "a")
    events.append(ef.event(1, [ef.alerts_value([ef.alert_json(step=1)])]))
    events.append(ef.event(2, [ef.value("tbwatch/alerts", tensor)]))
    ef.write(tmp_path, events)
    run = read_run(tmp_path)
    assert [alert.step for alert in run.alerts] == [1]
    assert "list of alerts left out" in run.notes[0]


def test_an_alert_holds_until_it_is_cleared(tmp_path: Path) -> None:
    """`holding` follows raised, worsened and cleared per variable; another diagnosis replaces."""

    def alert(step: int, state: str, *variables: str, **fields: str) -> dict:
        return ef.alert_json(step=step, state=state, variables=list(variables), **fields)

    alerts = [
        alert(1, "raised", "a", "b", severity="warning"),
        alert(2, "worsened", "a"),
        alert(2, "raised", "c"),
        alert(3, "cleared", "b", severity="warning"),
        alert(4, "raised", "c", diagnosis="decay_only"),
        alert(5, "cleared", "c", diagnosis="zero_gradient"),
    ]
    ef.write(tmp_path, [*ef.simple_events([5], "a"), ef.event(5, [ef.alerts_value(alerts)])])
    holding = read_run(tmp_path).holding
    assert {name: (a.step, a.diagnosis) for name, a in holding.items()} == {
        "a": (2, "zero_gradient"),
        "c": (4, "decay_only"),
    }


# --- several files of one run


def test_files_are_read_in_the_order_of_their_creation(tmp_path: Path) -> None:
    """By the time in the name as a number, then by the counter as a number."""
    for time, number, steps in [("999.5", 3, [1, 2]), (1000, 9, [3, 4]), (1000, 10, [4, 5])]:
        ef.write(tmp_path, ef.simple_events(steps, "a", "b"), time, number)
    run = read_run(tmp_path)
    assert [record.step for record in run.records] == [1, 2, 3, 4, 5]
    assert run.steps == [1, 2, 3, 4, 5]


def test_a_restarted_run_replaces_what_it_repeats(tmp_path: Path) -> None:
    """Records at later steps are gone at once, not only those at the same steps."""
    ef.write(tmp_path, ef.simple_events([1, 2, 3, 4, 5, 6], "old"), 1000)
    ef.write(tmp_path, ef.simple_events([3, 5], "new"), 1001)
    run = read_run(tmp_path)
    assert [record.step for record in run.records] == [1, 2, 3, 5]
    assert [record.layout.names[0] for record in run.records] == ["old", "old", "new", "new"]
    assert run.steps == [1, 2, 3, 5]


def alerts_file(steps: list[int], *alerts: dict) -> list[bytes]:
    """A file with records at some steps and one list of alerts at the end, if there are any."""
    events = ef.simple_events(steps, "a/kernel")
    return [*events, ef.event(steps[-1], [ef.alerts_value(alerts)])] if alerts else events


def test_a_restart_evicts_the_alerts_of_what_it_repeats(tmp_path: Path) -> None:
    """A run that is trained again without a fault is a run without that fault."""
    old = [ef.alert_json(step=2), ef.alert_json(step=5)]
    ef.write(tmp_path, alerts_file([1, 2, 3, 4, 5], *old), 1000)
    ef.write(tmp_path, alerts_file([4, 5, 6]), 1001)
    assert [alert.step for alert in read_run(tmp_path).alerts] == [2]
    ef.write(tmp_path, alerts_file([1, 2, 3]), 1002)
    assert read_run(tmp_path).alerts == []


def test_alerts_of_two_fits_in_a_row_are_joined(tmp_path: Path) -> None:
    """Each file has its own list; one that repeats the list before it doubles nothing."""
    first, second = ef.alert_json(step=2), ef.alert_json(step=5, variables=["b/kernel"])
    ef.write(tmp_path, alerts_file([1, 2, 3], first), 1000)
    ef.write(tmp_path, alerts_file([4, 5, 6], second), 1001)
    run = read_run(tmp_path)
    assert [alert.step for alert in run.alerts] == [2, 5]
    assert list(run.holding) == ["b/kernel"]  # the second fit judged afresh
    ef.write(tmp_path, alerts_file([7], first, second), 1002)
    run = read_run(tmp_path)
    assert [alert.step for alert in run.alerts] == [2, 5]
    assert list(run.holding) == ["a/kernel", "b/kernel"]


def test_a_new_file_without_anything_in_it_changes_nothing(tmp_path: Path) -> None:
    """A `fit` that has just begun has opened its file, but judged nothing yet."""
    ef.write(tmp_path, alerts_file([1, 2], ef.alert_json(step=2)), 1000)
    ef.write(tmp_path, [ef.version_event()], 1001)
    run = read_run(tmp_path)
    assert (run.steps, list(run.holding), len(run.alerts)) == ([1, 2], ["a/kernel"], 1)


def test_damage_in_one_file_leaves_the_others_alone(tmp_path: Path) -> None:
    """The note names the file."""
    first = ef.write(tmp_path, ef.simple_events([1, 2], "a"), 1000)
    first.write_bytes(first.read_bytes()[:-1])
    ef.write(tmp_path, ef.simple_events([3], "a"), 1001)
    run = read_run(tmp_path)
    assert run.steps == [1, 3]
    assert [note.split(":")[0] for note in run.notes] == [first.name]


def test_last_only_keeps_the_last_record_and_all_steps(tmp_path: Path) -> None:
    """The last one that holds quantities stays too, if the very last one holds none."""
    ef.write(tmp_path, ef.simple_events([1, 2, 3], "a"), 1000)
    run = read_run(tmp_path, last_only=True)
    assert [record.step for record in run.records] == [3]
    assert run.steps == [1, 2, 3]
    layout = ef.layout_json("a")
    events = ef.simple_events([4], "a")
    events += [ef.event(n, ef.record_values(layout, {}, first=False)) for n in (5, 6)]
    ef.write(tmp_path, events, 1001)
    run = read_run(tmp_path, last_only=True)
    assert [record.step for record in run.records] == [4, 6]
    assert run.steps == [1, 2, 3, 4, 5, 6]
    assert [record.step for record in read_run(tmp_path).records] == [1, 2, 3, 4, 5, 6]


# --- directories


def test_runs_of_a_tree_are_found_in_natural_order(tmp_path: Path) -> None:
    """A run, runs below it, and nothing that is none."""
    for name in ("run10", "run9", "deep/er/run1", "."):
        ef.write(tmp_path / name, ef.simple_events([1], "a"))
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "events.out.tfevents.1000.host.1.0.v2").touch()
    (tmp_path / "train" / "notes.tbwatch").touch()
    expected = [".", "deep/er/run1", "run9", "run10"]
    assert find_runs(tmp_path) == [tmp_path / name for name in expected]
    assert find_runs(str(tmp_path)) == find_runs(tmp_path)


def test_all_runs_are_read_by_their_names(tmp_path: Path, caplog) -> None:
    """In natural order, a run by itself by its own name; what cannot be read is told of."""
    for name in ("a/run10", "a/run2"):
        ef.write(tmp_path / name, ef.simple_events([1, 2], "d/kernel"))
    assert list(read_runs(tmp_path)) == ["a/run2", "a/run10"]
    (only,) = read_runs(tmp_path / "a" / "run2").items()
    assert (only[0], only[1].steps) == ("run2", [1, 2])
    assert list(read_runs(tmp_path / "a" / "run2" / "tbwatch")) == ["run2"]
    (part,) = (tmp_path / "a" / "run2").rglob("*tfevents*")
    part.write_bytes(b"")
    failures: list[ReadError] = []
    assert list(read_runs(tmp_path, on_failure=failures.append)) == ["a/run10"]
    assert "run2" in str(failures[0])
    assert caplog.messages == []
    assert list(read_runs(tmp_path)) == ["a/run10"]
    assert "run2" in caplog.text
    with pytest.raises(ReadError, match="run2"):
        read_runs(tmp_path / "a" / "run2")


def test_samples_are_the_records_with_quantities(tmp_path: Path) -> None:
    """The end of a fit is a record, and no sample."""
    writer = EventWriter(str(tmp_path))
    end = make_record(7, quantities={}, is_last=True)
    for record in (make_record(3), make_record(7), end):
        writer.write(record.step, 1.7e9, list(summaries.packed_record(record)))
    writer.close()
    run = read_run(tmp_path)
    assert [record.step for record in run.records] == [3, 7, 7]
    assert [record.step for record in run.samples] == [3, 7]


def test_a_run_may_be_named_by_its_own_sub_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory `tbwatch` inside a run stands for the run, also as the current directory."""
    ef.write(tmp_path / "run1", ef.simple_events([1], "a"))
    inside = tmp_path / "run1" / "tbwatch"
    assert find_runs(inside) == [tmp_path / "run1"]
    assert read_run(inside).name == "run1"
    monkeypatch.chdir(inside)
    for here in (".", ".."):
        (found,) = find_runs(here)
        assert found.resolve() == tmp_path / "run1"
        run = read_run(here)
        assert (run.name, run.steps) == ("run1", [1])


def test_a_run_may_itself_be_called_tbwatch(tmp_path: Path) -> None:
    """`tbwatch/tbwatch/events...` belongs to the run `tbwatch`, not to the directory above it."""
    ef.write(tmp_path / "tbwatch", ef.simple_events([1], "a"))
    assert find_runs(tmp_path) == [tmp_path / "tbwatch"]
    assert find_runs(tmp_path / "tbwatch") == [tmp_path / "tbwatch"]
    assert read_run(tmp_path / "tbwatch").steps == [1]


def test_files_copied_out_of_their_directory_are_read_where_they_are(tmp_path: Path) -> None:
    """A directory of any name that holds the files is a run."""
    ef.write(tmp_path, ef.simple_events([1], "a"))
    (tmp_path / "tbwatch").rename(tmp_path / "download")
    assert find_runs(tmp_path) == [tmp_path / "download"]
    assert read_run(tmp_path / "download").steps == [1]


def test_links_are_followed_but_not_round_and_round(tmp_path: Path) -> None:
    """A linked run is found; a link to a directory above itself ends the search there."""
    ef.write(tmp_path / "elsewhere" / "run1", ef.simple_events([1], "a"))
    logs = tmp_path / "logs"
    logs.mkdir()
    try:
        os.symlink(tmp_path / "elsewhere", logs / "linked", target_is_directory=True)
        os.symlink(logs, logs / "again", target_is_directory=True)
    except OSError as error:
        pytest.skip(f"no symbolic links here: {error}")
    assert find_runs(logs) == [logs / "linked" / "run1"]


def test_errors_name_what_was_given_and_what_is_wanted(tmp_path: Path) -> None:
    """One sentence each: no such directory, a file, nothing in it, nothing readable in it."""
    missing, empty = tmp_path / "nix", tmp_path / "empty"
    empty.mkdir()
    file = ef.write(tmp_path / "begun", [ef.version_event()])
    wanted = "give the (local )?log directory of a run or one above it"
    for read in (find_runs, read_run):
        with pytest.raises(ReadError, match=rf"^{missing} does not exist: {wanted}$"):
            read(missing)
        with pytest.raises(ReadError, match=rf"^{file} is a file: {wanted}$"):
            read(file)
        with pytest.raises(ReadError, match=rf"^{empty} holds no tbwatch records: {wanted}$"):
            read(empty)
    with pytest.raises(ReadError, match=rf"^{tmp_path / 'begun'} holds no tbwatch records: "):
        read_run(tmp_path / "begun")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ReadError, match="tbwatch: last record cut off after"):
        read_run(tmp_path / "begun")
    assert issubclass(ReadError, ValueError)


def test_the_format_is_what_these_tests_spell_out() -> None:
    """Names and metadata on disk are a promise: files of today must be readable tomorrow."""
    from tbwatch import format as package

    assert package.encode_metadata("alerts") == b'{"version": 1, "kind": "alerts"}'
    assert package.encode_metadata("alerts") in ef.metadata("alerts")
    assert (package.PLUGIN_NAME, package.SUBRUN) == ("tbwatch", "tbwatch")
    assert package.quantity_tag("update_ratio") == "tbwatch/update_ratio"
    assert (package.UPDATE_TAG, package.ALERTS_TAG) == ("tbwatch/update", "tbwatch/alerts")
