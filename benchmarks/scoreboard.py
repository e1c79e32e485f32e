"""The scoreboard: what tbwatch, and rules of other tools, say of programs with a known truth.

    python -m benchmarks.scoreboard --record          # train all programs, keep the event files
    python -m benchmarks.scoreboard --judge           # judge the records, print the tables

Run it in the repository's root. Recording takes 15 to 30 minutes on two cores; judging
takes seconds and can be repeated after each change of a rule.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.scoreboard_parts.program import Program


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    if not options.record and not options.judge:
        options.record = options.judge = True
    if options.mnist and Path(options.mnist).is_file():
        os.environ["SCOREBOARD_MNIST"] = str(options.mnist)
    programs = _programs(options)
    if not programs:
        print("--only chooses no program.", file=sys.stderr)
        return 2
    failed = 0
    if options.record:
        from benchmarks.scoreboard_parts import recording

        if options.here:
            failed = recording.record_here(programs, options.out, options.threads)
        else:
            same = ["--faults", str(options.faults), "--mnist", str(options.mnist)]
            failed = recording.record_all(programs, options.out, same, options.jobs)
    if options.judge:
        from benchmarks.scoreboard_parts import report

        print(report.report(programs, options.out, options.json))
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scoreboard", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--record", action="store_true", help="train and write the event files")
    parser.add_argument("--judge", action="store_true", help="judge what was recorded")
    parser.add_argument(
        "--out", type=Path, default=Path("scoreboard"), help="directory of the runs"
    )
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--only", default="", help="ids of programs, separated by commas")
    parser.add_argument("--origin", choices=("own", "shared"), help="only these programs")
    parser.add_argument("--faults", default="", help="directory with a programs.py of yours")
    parser.add_argument("--mnist", default="", help="mnist.npz; else digits are rendered")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--here", action="store_true", help="record in this process")
    parser.add_argument("--threads", type=int, default=0, help="of TensorFlow; 0 for its choice")
    return parser


def _programs(options: argparse.Namespace) -> list[Program]:
    from benchmarks.scoreboard_parts.programs import own_programs

    programs: list[Program] = []
    if options.faults and (Path(options.faults) / "programs.py").is_file():
        from benchmarks.scoreboard_parts.shared_programs import shared_programs

        programs += shared_programs(Path(options.faults))
    elif options.faults:
        raise SystemExit(f"--faults: there is no programs.py in {options.faults!r}.")
    programs += own_programs()
    if options.origin:
        programs = [program for program in programs if program.origin == options.origin]
    chosen = set(filter(None, options.only.split(",")))
    unknown = sorted(chosen - {program.id for program in programs})
    if unknown:
        raise SystemExit(f"--only: there is no program called {', '.join(unknown)}.")
    return [program for program in programs if not chosen or program.id in chosen]


if __name__ == "__main__":
    sys.exit(main())
