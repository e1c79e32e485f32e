"""Take the pictures of the documentation, and write the numbers beside them.

For each diagnosis a small program is trained twice on the CPU, with a fault and without. The
alert must be raised with it and not without it. Then a picture of the page that `tbwatch report`
writes goes to docs/images/alerts/, the numbers to alerts.json there, and into the page of the
diagnosis.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from docs.pictures import pages, tab
from docs.pictures.digits import DataError, digits
from docs.pictures.program import Digits
from docs.pictures.programs import PROGRAMS
from docs.pictures.shots import Camera, NoBrowser, check_browser
from docs.pictures.training import RUNS, entry, train

# Pictures of TensorBoard: who takes them, and the runs in them.
OTHERS = {
    "overview": (tab.overview, tab.OVERVIEW),
    "training_health": (tab.training_health, tab.HEALTH),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 if an alert was not as it should be, 2 for wrong arguments."""
    arguments = _parser().parse_args(argv)
    names = arguments.only.split(",") if arguments.only else [*PROGRAMS, *OTHERS]
    unknown = sorted({*names} - {*PROGRAMS, *OTHERS})
    if unknown:
        print(f"--only takes names out of {', '.join([*PROGRAMS, *OTHERS])}; got {unknown}.")
        return 2
    try:
        data = digits(arguments.data)
        if arguments.pictures:
            check_browser()  # before minutes of training
    except (DataError, NoBrowser) as error:
        print(error)
        return 2
    kind = f"{len(data.labels)} {'MNIST' if arguments.data else 'rendered'} digits"
    with tempfile.TemporaryDirectory() as scratch:
        runs = Path(arguments.runs or scratch)
        failed = sum(
            not _one(name, runs, data, kind, arguments.pictures)
            for name in names
            if name in PROGRAMS
        )
        for name in names if arguments.pictures else []:
            if name in OTHERS:
                take, shown = OTHERS[name]
                for needed in tab.needs(shown):
                    _trained(needed, runs, data)
                take(runs, pages.IMAGES.parent / f"{name}.png")
    return 1 if failed else 0


def _one(name: str, runs: Path, data: Digits, kind: str, has_picture: bool) -> bool:
    """Numbers, picture and page of one diagnosis; False if its alert is not as it should be."""
    log_dir = _trained(name, runs, data)
    try:
        found = entry(PROGRAMS[name], log_dir, kind)
    except ValueError as error:
        print(error)
        return False
    print(found["text"])
    pages.store({**pages.load(), name: found})
    pages.rewrite(PROGRAMS[name], found)
    if has_picture:
        with Camera() as camera:
            camera.alert(log_dir, found, name, pages.IMAGES / f"{name}.png")
    return True


def _trained(name: str, runs: Path, data: Digits) -> Path:
    """The directory of a program's runs; they are trained unless both are there."""
    if not all((runs / name / run).exists() for run in RUNS):
        for run, faulty in RUNS.items():
            train(PROGRAMS[name], faulty, data, runs / name / run)
    return runs / name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m docs.pictures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", metavar="NAMES", help=f"diagnoses, and {' and '.join(OTHERS)}, with commas; "
        "default: all")  # fmt: skip
    add("--data", metavar="FILE.npz", help="MNIST, as keras.datasets.mnist stores it; default: "
        "digits rendered with Pillow")  # fmt: skip
    add("--runs", metavar="DIR", help="keep the runs there, and do not train those that are there")
    add("--no-pictures", dest="pictures", action="store_false", help="numbers only: no browser")
    return parser


if __name__ == "__main__":
    sys.exit(main())
