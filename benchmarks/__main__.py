"""All speed suites: one command, one JSON file and one Markdown table.

python -m benchmarks                                # all of it: 2 1/2 hours on two cores
python -m benchmarks --only steps,host --out here   # the others in `here` stay as they are
python -m benchmarks --quick                        # a few minutes: does everything work?
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.nets import NETS
from benchmarks.process import Failed
from benchmarks.speed import machine, report, steps
from benchmarks.speed.figures import Line
from benchmarks.speed.options import Options

SUITES = ("steps", "histogram", "first_step", "host", "growth")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    suites = _names(parser, "--only", given.only, SUITES) or SUITES
    options = Options(
        quick=given.quick,
        nets=_names(parser, "--nets", given.nets, NETS),
        xla=_names(parser, "--xla", given.xla, steps.SIZES) or (),
    )
    # A suite that is run by itself leaves the others in place.
    results = report.read(given.out)
    for suite in suites:
        results[suite] = _run(suite, options)
        report.write(given.out, {name: results[name] for name in SUITES if name in results})
    stopped = [suite for suite in suites if results[suite]["stopped"]]
    print(f"\n{given.out / report.JSON_FILE}\n{given.out / report.MARKDOWN_FILE}")
    return 1 if stopped else 0


def _run(suite: str, options: Options) -> dict[str, Any]:
    module = importlib.import_module(f"benchmarks.speed.{suite}")
    begun = time.perf_counter()
    lines: list[Line] = []
    stopped = False
    print(f"\n{suite}", flush=True)
    try:
        for line in module.run(options):
            lines.append(line)
            print(report.row(line), flush=True)
    except Failed as error:  # what was measured before is worth keeping
        lines.append(Line("the rest of the suite", "", note=f"stopped: {error}".splitlines()[0]))
        print(error, file=sys.stderr)
        stopped = True
    about = {
        "about": module.ABOUT,
        "date": datetime.date.today().isoformat(),
        "quick": options.quick,
        "stopped": stopped,
        "seconds": time.perf_counter() - begun,
        "machine": machine.facts(),
    }
    return report.result(lines, about)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("speed_results"), help="directory (default: %(default)s)")
    add("--only", default="", help=f"suites, by commas: {', '.join(SUITES)}")
    add("--quick", action="store_true", help="small and few: shows that everything works")
    add("--nets", default="", help="nets of steps and first_step, by commas (default: all)")
    every = ",".join(steps.SIZES)
    add("--xla", default=every, help="nets of steps under XLA too, or none (default: %(default)s)")
    return parser


def _names(
    parser: argparse.ArgumentParser, option: str, text: str, known: Sequence[str] | dict[str, Any]
) -> tuple[str, ...] | None:
    """The names in a list by commas; None for an empty one."""
    names = tuple(name for name in text.split(",") if name and name != "none")
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"{option}: there is no {unknown[0]!r}; there are: {', '.join(known)}")
    return names or None


if __name__ == "__main__":
    sys.exit(main())
