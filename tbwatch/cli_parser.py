"""The arguments of the command `tbwatch`."""

from __future__ import annotations

import argparse

from tbwatch._version import __version__
from tbwatch.alerts import SEVERITIES

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


def parser() -> argparse.ArgumentParser:
    """The parser; what it returns has the name of the command as `command`."""
    whole = argparse.ArgumentParser(
        prog="tbwatch",
        description="Tell from recorded training runs which layers learn, which do not, and why.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"tbwatch {__version__}")
    commands = whole.add_subparsers(
        dest="command", title="commands", metavar="COMMAND", required=True
    )
    alerts = _command(
        commands,
        "alerts",
        "list what the detectors found",
        "List all alerts of the runs, oldest first: what was raised, what worsened, what cleared.",
    )
    check = _command(
        commands,
        "check",
        "judge the records anew",
        "Run the detectors over what was recorded, with other thresholds or a choice of them. With "
        "neither, the alerts are those of a live run that all of them judged at their defaults.",
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
    _command(
        commands,
        "flight",
        "show what the flight recorder kept",
        "Show the norms of the updates before the last critical alert, each of them, of runs that "
        "were watched with flight_recorder=N.",
    )
    pages = _command(
        commands,
        "report",
        "write a page or a picture to share",
        "Write what the tab Training health shows into one HTML file, which needs neither a server "
        "nor a network, or the update ratios of all variables as a picture.",
    )
    pages.add_argument("-o", dest="output", metavar="FILE", help="the page, e.g. report.html")
    pages.add_argument("--png", metavar="FILE", help="the picture, e.g. health.png")
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
    _command(
        commands,
        "summary",
        "show the last state of every variable",
        "Show the last recorded norms and ratios of every variable, and the verdict on it.",
    )
    return whole


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    description: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=summary, description=description)
    command.add_argument(
        "log_dir",
        metavar="LOGDIR",
        help="log directory of a run, or a directory above several runs",
    )
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return command
