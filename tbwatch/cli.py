"""The command `tbwatch`: what was recorded of training runs, read without TensorFlow."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tbwatch import report
from tbwatch.alerts import severity_at_least
from tbwatch.cli_parser import parser
from tbwatch.detectors import DETECTORS
from tbwatch.format import plain
from tbwatch.reader import ReadError, Run, read_runs
from tbwatch.replay import chosen_detectors, replayed


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the name of the program; by default those of the process.

    Returns:
        The exit status: 0; 1 by `--fail-on`; 2 for a log directory that cannot be read.

    Raises:
        SystemExit: by argparse, for wrong arguments (status 2), `--help` and `--version`.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name may hold what the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    arguments = parser().parse_args(argv)
    command = _COMMANDS[arguments.command]
    try:
        command.prepare(arguments)
        runs = _read(arguments.log_dir, last_only=command.last_only)
    except (ReadError, OSError, UsageError) as error:
        print(f"tbwatch: error: {plain(error)}", file=sys.stderr)
        return 2
    try:
        lines, status = command.run(runs, arguments)
    except OSError as error:  # a full disk, for `report` and `--junit`
        print(f"tbwatch: error: {plain(error)}", file=sys.stderr)
        return 2
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:  # `tbwatch ... | head`: whoever read this has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(status)


def _alerts(runs: dict[str, Run], arguments: argparse.Namespace) -> tuple[list[str], int]:
    floor = arguments.fail_on
    failed = floor is not None and any(
        severity_at_least(alert.severity, floor) for alert in report.raised_alerts(runs)
    )
    if arguments.junit is not None:
        from tbwatch.junit import junit  # what the other commands do not need

        judged = getattr(arguments, "detectors", None) or DETECTORS
        _write(arguments.junit, junit(runs, floor or "warning", judged))
    if arguments.json:
        return _json(report.alert_data(runs)), int(failed)
    return report.alert_lines(runs, _width()), int(failed)


class UsageError(ValueError):
    """An argument that argparse cannot judge."""


def _choose(arguments: argparse.Namespace) -> None:
    """Make the detectors before anything is read: a wrong name should not cost a minute."""
    _check_junit(arguments)
    names = [name.strip() for name in (arguments.detectors or "").split(",") if name.strip()]
    if arguments.detectors is not None and not names:
        raise UsageError("--detectors names none")
    try:
        chosen_detectors(names, arguments.set)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
    arguments.detectors = names


def _check(runs: dict[str, Run], arguments: argparse.Namespace) -> tuple[list[str], int]:
    judged = {
        name: replayed(run, chosen_detectors(arguments.detectors, arguments.set))
        for name, run in runs.items()
    }
    for name, run in judged.items():
        _tell(name, [note for note in run.notes if note not in runs[name].notes])
    return _alerts(judged, arguments)


def _flight(runs: dict[str, Run], arguments: argparse.Namespace) -> tuple[list[str], int]:
    lines = _json(report.flight_data(runs)) if arguments.json else report.flight_lines(runs)
    return lines, 0


def _summary(runs: dict[str, Run], arguments: argparse.Namespace) -> tuple[list[str], int]:
    lines = _json(report.summary_data(runs)) if arguments.json else report.summary_lines(runs)
    return lines, 0


def _check_pages(arguments: argparse.Namespace) -> None:
    files = [file for file in (arguments.output, arguments.png) if file is not None]
    if not files:
        raise UsageError("report needs -o FILE for the page, --png FILE for the picture, or both")
    _check_files(files)
    wanted = (("-o", arguments.output, ".html"), ("--png", arguments.png, ".png"))
    for option, file, ending in wanted:
        if file is not None and not file.lower().endswith(ending):
            raise UsageError(f"the file of {option} must end in {ending}; got {file!r}")


def _check_junit(arguments: argparse.Namespace) -> None:
    _check_files([] if arguments.junit is None else [arguments.junit])


def _check_files(files: Sequence[str]) -> None:
    """Look where the files are to go before anything is read."""
    for file in files:
        folder = os.path.dirname(os.path.abspath(file))
        if not os.path.isdir(folder) or os.path.isdir(file):
            raise UsageError(f"{file} cannot be written: give the name of a file in a directory")


def _report(runs: dict[str, Run], arguments: argparse.Namespace) -> tuple[list[str], int]:
    from tbwatch.tab import page, picture, recorded  # what the other commands do not need

    written: list[str] = []
    if arguments.output is not None:
        title = f"Training health: {plain(arguments.log_dir)}"
        _write(arguments.output, page.page(title, recorded.answers(runs)).encode())
        written.append(arguments.output)
    if arguments.png is not None:
        _write(arguments.png, picture.picture(runs))
        written.append(arguments.png)
    if arguments.json:
        return _json({"written": written}), 0
    return [f"wrote {plain(file)}" for file in written], 0


def _write(file: str, content: bytes) -> None:
    with open(file, "wb") as stream:
        stream.write(content)


def _width() -> int:
    """Columns of the terminal; 0 for a pipe, where every message stays on one line."""
    return shutil.get_terminal_size(fallback=(0, 0)).columns


def _json(data: object) -> list[str]:
    return [json.dumps(data, indent=2, allow_nan=False)]


def _read(log_dir: str, last_only: bool) -> dict[str, Run]:
    """Read all runs, by their name below `log_dir`; tells stderr what was left out.

    Args:
        log_dir: a run's directory, or one above several.
        last_only: whether the last records of each run are enough.

    Raises:
        ReadError: if no run could be read.
    """
    notes: list[str] = []
    runs = read_runs(
        log_dir, last_only=last_only, on_failure=lambda error: notes.append(str(error))
    )
    notes += [f"{run.path}: {note}" for run in runs.values() for note in run.notes]
    _tell("", notes)
    return runs


def _tell(run: str, notes: Sequence[str]) -> None:
    for note in notes:
        about = f"{run}: " if run else ""
        print(f"tbwatch: note: {plain(about + note)}", file=sys.stderr)


class _Command(NamedTuple):
    """What a command does.

    Attributes:
        run: makes the lines that it prints, and the exit status.
        last_only: whether the last records of each run are enough.
        prepare: judges the arguments, before anything is read.
    """

    run: Callable[[dict[str, Run], argparse.Namespace], tuple[list[str], int]]
    last_only: bool = True
    prepare: Callable[[argparse.Namespace], None] = lambda arguments: None


_COMMANDS = {
    "alerts": _Command(_alerts, prepare=_check_junit),
    "check": _Command(_check, last_only=False, prepare=_choose),
    "flight": _Command(_flight),
    "report": _Command(_report, last_only=False, prepare=_check_pages),
    "summary": _Command(_summary),
}
