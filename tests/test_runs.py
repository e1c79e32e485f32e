"""Which runs there are below a directory, and what they are called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tbwatch import summaries
from tbwatch.events import EventWriter
from tbwatch.reader import ReadError, find_runs, read_run, read_runs
from tbwatch.testing import make_record
from tests import event_files as ef


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
    """Metadata on disk is a promise: files of today must be readable tomorrow."""
    from tbwatch import format as package

    assert package.encode_metadata("alerts") == b'{"version": 1, "kind": "alerts"}'
    assert package.encode_metadata("alerts") in ef.metadata("alerts")
