"""The command `tbwatch`: what was recorded of training runs, read without TensorFlow."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence

from tbwatch import report
from tbwatch._version import __version__
from tbwatch.alerts import SEVERITIES, severity_at_least
from tbwatch.format import plain
from tbwatch.reader import ReadError, Run, read_runs
from tbwatch.replay import chosen_detectors, replayed

_EPILOG = """\
exit status:
  0  done
  1  an alert of the severity given to --fail-on, or a graver one, was raised
  2  wrong arguments, or a log directory that cannot be read

examples:
  tbwatch alerts logs
  tbwatch alerts logs/run1 --fail-on critical
  tbwatch summary logs/run1
  tbwatch check logs/run1 --set dead_update.threshold=1e-6
  tbwatch report logs -o report.html
"""


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
    arguments = _parser().parse_args(argv)
    try:
        arguments.prepare(arguments)
        runs = _read(arguments.log_dir, last_only=arguments.last_only)
    except (ReadError, OSError, UsageError) as error:
        print(f"tbwatch: error: {plain(error)}", file=sys.stderr)
        return 2
    try:
        lines, status = arguments.run(runs, arguments)
    except OSError as error:  # a full disk, for `report` and `--junit`
        print(f"tbwatch: error: {plain(error)}", file=sys.stderr)
        return 2
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:  # `tbwatch ... | head`: whoever read this has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tbwatch",
        description="Tell from recorded training runs which layers learn, which do not, and why.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tbwatch {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    alerts = _command(
        commands,
        "alerts",
        "list what the detectors found",
        "List all alerts of the runs, oldest first: what was raised, what worsened, what cleared.",
    )
    alerts.set_defaults(run=_alerts, prepare=_check_junit)
    check = _command(
        commands,
        "check",
        "judge the records anew",
        "Run the detectors over what was recorded, with other thresholds or a choice of them. With "
        "neither, the alerts are those of the live run.",
    )
    check.add_argument(
        "--detectors",
        metavar="NAMES",
        help="only these, by name, with commas between them",
    )
    check.add_argument(
        "--set",
        metavar="RULE.PARAMETER=VALUE",
        action="append",
        default=[],
        help="a threshold, such as dead_update.threshold=1e-6; may be given several times",
    )
    flight = _command(
        commands,
        "flight",
        "show what the flight recorder kept",
        "Show the norms of the updates before the last critical alert, each of them, of runs that "
        "were watched with flight_recorder=N.",
    )
    flight.set_defaults(run=_flight)
    check.set_defaults(run=_check, prepare=_choose, last_only=False)
    pages = _command(
        commands,
        "report",
        "write a page or a picture to share",
        "Write what the tab Training health shows into one HTML file, which needs neither a server "
        "nor a network, or the update ratios of all variables as a picture.",
    )
    pages.add_argument("-o", dest="output", metavar="FILE", help="the page, e.g. report.html")
    pages.add_argument("--png", metavar="FILE", help="the picture, e.g. health.png")
    pages.set_defaults(run=_report, prepare=_check_pages, last_only=False)
    for command in (alerts, check):
        command.add_argument(
            "--fail-on",
            metavar="SEVERITY",
            choices=SEVERITIES,
            help="exit with status 1 if an alert of this severity or a graver one was raised, even "
            f"if it was cleared later: {', '.join(SEVERITIES)}",
        )
        command.add_argument(
            "--junit",
            metavar="FILE",
            help="also write JUnit XML for a CI server: a test for each rule, which fails by "
            "--fail-on, or from warning on",
        )
    summary = _command(
        commands,
        "summary",
        "show the last state of every variable",
        "Show the last recorded norms and ratios of every variable, and the verdict on it.",
    )
    summary.set_defaults(run=_summary)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    description: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=description)
    parser.add_argument(
        "log_dir",
        metavar="LOGDIR",
        help="log directory of a run, or a directory above several runs",
    )
    parser.set_defaults(prepare=lambda arguments: None, last_only=True)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def _alerts(runs: dict[str, Run], arguments: argparse.Namespace) -> tuple[list[str], int]:
    floor = arguments.fail_on
    failed = floor is not None and any(
        severity_at_least(alert.severity, floor) for alert in report.raised_alerts(runs)
    )
    if arguments.junit is not None:
        from tbwatch.junit import junit  # what the other commands do not need

        _write(arguments.junit, junit(runs, floor or "warning"))
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
