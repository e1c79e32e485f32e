"""Damaged event files: every one was written by TensorFlow's writer, then changed."""

from __future__ import annotations

import random
from pathlib import Path

from tbwatch.reader import ReadError, read_run
from tests import event_files as ef
from tests.frames import flipped, frame_starts, steps_of


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
