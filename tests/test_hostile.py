"""What hostile event files and arguments once broke, one by one."""

from __future__ import annotations

import io
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from tensorflow.core.framework import tensor_pb2, types_pb2

from tbwatch import framing
from tbwatch.cli import main
from tbwatch.detectors import DeadUpdate
from tbwatch.flight_log import FlightLog
from tbwatch.kernels import put_kernels_on_grid
from tbwatch.reader import Run, read_run
from tbwatch.replay import chosen_detectors
from tbwatch.testing import make_record, run
from tbwatch.tiles import MAX_PIXELS
from tests import event_files as ef
from tests.fuzz.byte_damage import framed


def read_values(folder: Path, values: list, step: int = 1) -> Run:
    """A run of one healthy record and, behind it, one event with these values."""
    healthy = ef.record_values(ef.layout_json("a"), {"weight_norm": [1.0]})
    ef.write(folder, [ef.version_event(), ef.event(0, healthy), ef.event(step, values)])
    return read_run(folder)


def test_a_record_that_is_too_long_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes are not read, those of the next record are."""
    monkeypatch.setattr(framing, "_LONGEST", 100)
    data = framed(bytes(100)) + framed(bytes(101)) + framed(b"next")
    asked = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            asked.append(size)
            return super().read(size)

    frames = list(framing.read_frames(Watched(data), len(data)))
    assert [frame.payload for frame in frames] == [bytes(100), None, b"next"]
    assert frames[1].damage == "record of 101 bytes left out: too long for one of ours"
    assert max(asked) == 104


def repeated(values: list[float], size: int) -> list:
    """A record of so many variables, whose tensor holds only the first values."""
    layout = ef.layout_json(*[f"v{number}" for number in range(size)])
    record = ef.record_values(layout, {"weight_norm": [0.0] * size})
    record[0].tensor.Clear()
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=values)
    tensor.tensor_shape.dim.add(size=size)
    record[0].tensor.CopyFrom(tensor)
    return record


def test_a_value_for_all_variables_is_held_once(tmp_path: Path) -> None:
    """Tiny records that stand for large tensors: one value takes no memory per variable."""
    values = read_values(tmp_path, repeated([0.5], 3000)).records[-1].quantity("weight_norm")
    assert values.tolist() == [0.5] * 3000
    assert values.strides == (0,)


@pytest.mark.parametrize(("size", "is_read"), [(1002, True), (1003, False)])
def test_few_values_are_not_made_many(size: int, is_read: bool, tmp_path: Path) -> None:
    """Behind two values the last one is repeated up to 1000 times, and no more."""
    found = read_values(tmp_path, repeated([0.25, 0.5], size))
    assert found.notes == [] if is_read else "only 2 of 1003 are there" in found.notes[0]
    if is_read:
        assert found.records[-1].quantity("weight_norm").tolist() == [0.25] + [0.5] * (size - 1)


def test_a_note_has_an_end(tmp_path: Path) -> None:
    """A tag of 10 000 characters is quoted in part."""
    odd = ef.value("tbwatch/" + "x" * 10_000, 1.0, ef.metadata("odd"))
    (note,) = read_values(tmp_path, [odd]).notes
    assert "xxx..." in note
    assert len(note) < 500


@pytest.mark.parametrize("time", [math.nan, math.inf])
def test_a_record_without_a_time_is_left_out(time: float, tmp_path: Path) -> None:
    """An alert that is raised at it could not be written as JSON."""
    values = ef.record_values(ef.layout_json("a"), {"weight_norm": [1.0]})
    event = ef.event_pb2.Event.FromString(ef.event(2, values))
    event.wall_time = time
    ef.write(tmp_path, [*ef.simple_events([1], "a"), event.SerializeToString()])
    found = read_run(tmp_path)
    assert [record.step for record in found.records] == [1]
    assert "record left out: its wall_time is not finite" in found.notes[0]


@pytest.mark.parametrize(("epoch", "read"), [(3.0, 3), (1e30, 0), (-1e30, 0), (math.nan, 0)])
def test_an_epoch_that_is_none_is_the_first(epoch: float, read: int, tmp_path: Path) -> None:
    """And can be judged: it fits the integers that detectors count in."""
    update = {**ef.DEFAULTS, "epoch": epoch}
    layout = ef.layout_json("a/kernel")
    still = {"update_ratio": [1e-9], "window_change": [1e-9], "update_norm": [1e-9]}
    records = [ef.event(s, ef.record_values(layout, still, update, s == 1)) for s in range(1, 40)]
    ef.write(tmp_path, [ef.version_event(), *records])
    assert {record.epoch for record in read_run(tmp_path).records} == {read}
    assert main(["check", str(tmp_path)]) == 0


def test_a_signalling_nan_is_a_nan(tmp_path: Path) -> None:
    """NumPy warns where one is cast; a quiet one it lets pass."""
    record = ef.record_values(ef.layout_json("a"), {"weight_norm": [0.0]})
    record[0].tensor.tensor_content = b"\x01\x00\x80\x7f"
    values = read_values(tmp_path, record).records[-1].quantity("weight_norm")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(values.astype(np.float64)).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [-1, 4]},
        {"shape": [2**40, 2**40]},
        {"shape": [1e300]},
        {"shape": [2] * 100_000},
        {"name": ["a"]},
        {"dtype": 3},
        {"initial_rms": "large"},
    ],
)
def test_a_layout_that_cannot_be_is_left_out(changes: dict, tmp_path: Path) -> None:
    """Sizes that no tensor has, texts that are none: one note, and the record before is read."""
    layout = ef.layout_json("a")
    layout["variables"][0] |= changes
    found = read_values(tmp_path, ef.record_values(layout, {"weight_norm": [2.0]}))
    assert any("not a tbwatch layout" in note for note in found.notes)
    assert found.records[0].quantity("weight_norm").tolist() == [1.0]
    assert main(["check", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"step": 2**63},
        {"samples": 1e300},
        {"variables": "abc"},
        {"variables": [1]},
        {"message": ["x"]},
        {"rule": None},
    ],
)
def test_an_alert_that_cannot_be_is_left_out(changes: dict, tmp_path: Path) -> None:
    """Numbers of more than 64 bits, texts that are none."""
    found = read_values(tmp_path, [ef.alerts_value([ef.alert_json(**changes), ef.alert_json()])])
    assert found.alerts == [found.alerts[0]]
    assert found.alerts[0].variables == ("a/kernel",)
    assert "not a tbwatch alert" in found.notes[0]


def test_one_long_name_does_not_widen_the_table(tmp_path, capsys) -> None:
    """100 alerts beside a name of 100 000 characters are not 10 MB of blanks."""
    alerts = [ef.alert_json(step=step) for step in range(100)]
    long = ef.alert_json(variables=["y" * 100_000])
    read_values(tmp_path, [ef.alerts_value([*alerts, long])])
    assert main(["alerts", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "y" * 100_000 in printed
    assert len(printed) < 200_000


def test_a_number_of_5000_digits_is_no_metadata(tmp_path: Path) -> None:
    """Python refuses to read it; the note says what that means."""
    value = ef.value("tbwatch/alerts", json.dumps([]), ef.metadata("alerts"))
    value.metadata.plugin_data.content = b'{"version": ' + b"9" * 5000 + b"}"
    assert "series metadata is not JSON" in read_values(tmp_path, [value]).notes[0]


@pytest.mark.parametrize(
    ("table", "names"),
    [(np.zeros((2, 2)), []), (np.full((1, 4), 1e30), ["a"]), (np.full((1, 4), np.nan), ["a"])],
)
def test_a_flight_log_that_cannot_be_is_refused(table: np.ndarray, names: list[str]) -> None:
    """Without variables there is no largest gradient, and 1e30 is no number of an update."""
    with pytest.raises(ValueError, match="flight recorder left out"):
        FlightLog.from_table(table, 0, names)


def test_norms_near_the_greatest_float_are_judged_without_a_warning() -> None:
    """3e38 times two is no float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(DeadUpdate(), [make_record(s, update_norm=3e38) for s in range(1, 40)]) == []


@pytest.mark.parametrize(
    "options", [{"pad": 10**6}, {"enlarge": 10**6}, {"grid": (10**5, 10**5)}, {"pad": 10**30}]
)
def test_an_image_of_gigabytes_is_refused(options: dict) -> None:
    """Before it is drawn, and the sentence says how large it would have been."""
    with pytest.raises(ValueError, match=rf"would have .* pixels; allowed are {MAX_PIXELS}"):
        put_kernels_on_grid(np.zeros((3, 3, 1, 4)), **options)


@pytest.mark.parametrize("channels", [1, 4])
def test_the_size_of_an_image_is_known_before_it_is_drawn(channels, monkeypatch) -> None:
    """An image of exactly the most pixels is drawn, one with a pixel more is not."""
    kernel = np.zeros((3, 3, channels, 5))
    height, width = put_kernels_on_grid(kernel, enlarge=2).shape[:2]
    monkeypatch.setattr("tbwatch.tiles.MAX_PIXELS", height * width)
    assert put_kernels_on_grid(kernel, enlarge=2).shape[:2] == (height, width)
    monkeypatch.setattr("tbwatch.tiles.MAX_PIXELS", height * width - 1)
    with pytest.raises(ValueError, match=f"{height} x {width} pixels"):
        put_kernels_on_grid(kernel, enlarge=2)


@pytest.mark.parametrize("records", ["text", [3], [None]])
def test_records_that_are_none_are_refused(records: object) -> None:
    """`run` of the test helpers names what it was given."""
    with pytest.raises(TypeError, match="records must hold Records; got"):
        run(None, records)


@pytest.mark.parametrize("layout", ["a/kernel", ["a/kernel"], {}])
def test_a_layout_that_is_none_is_refused(layout: object) -> None:
    """`make_record` of the test helpers names what it was given."""
    with pytest.raises(TypeError, match="layout must be a Layout; got"):
        make_record(1, layout)


def test_a_setting_that_is_no_text_is_refused() -> None:
    """One sentence with what was given."""
    with pytest.raises(TypeError, match=r"a setting must be a text; got \['a'\]"):
        chosen_detectors([], [["a"]])


@pytest.mark.parametrize("given", [1j, [None, 1j], np.complex64(1)])
def test_complex_quantities_are_refused(given: object) -> None:
    """NumPy would drop the imaginary part with a warning."""
    with pytest.raises(TypeError, match="gradient_norm must be real numbers; got "):
        make_record(1, gradient_norm=given)


@pytest.mark.parametrize("step", ["1", 1.5, np.complex64(1)])
def test_a_step_that_is_no_whole_number_is_refused(step: object) -> None:
    """An update has a number."""
    with pytest.raises(TypeError, match="step must be a whole number; got"):
        make_record(step)
