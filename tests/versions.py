"""Run the tests in fresh virtual environments, with the lowest and the newest versions claimed.

    python tests/versions.py --python python3.11 --python python3.13 lowest newest
    python tests/versions.py --python python3.12 newest -- tests/test_truth.py tests/test_reader.py

What stands behind `--` goes to pytest; without it the whole suite runs. Prints one row of a table
for each Python and choice of versions. Exit status 1 if one of them fails.

`lowest` takes each requirement `name>=version` of setup.cfg, also those of the extra `test`, at
exactly that version; what the packages themselves require is left to pip. An environment is 2 to
3 GB large, and is removed when its tests have run, unless `--keep` is given.
"""

from __future__ import annotations

import argparse
import configparser
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHOWN = ("tensorflow", "keras", "tensorboard", "numpy", "pillow", "protobuf")
# Prints the versions found, in the order of SHOWN, then that of Python.
ASK = "import sys, platform, importlib.metadata as m; print(*map(m.version, sys.argv[1:]), end=' ')"
ASK += "; print(platform.python_version())"


def lowest() -> str:
    """A constraints file: `==` for each `>=` of setup.cfg, environment markers kept."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    claimed = config["options"]["install_requires"] + config["options.extras_require"]["test"]
    lines = []
    for line in filter(None, map(str.strip, claimed.splitlines())):
        requirement, _, marker = line.partition(";")
        if not re.fullmatch(r"[\w-]+>=[\w.]+\s*", requirement):
            raise SystemExit(f"setup.cfg: {line!r} is not of the form name>=version")
        lines.append(requirement.strip().replace(">=", "==") + (marker and f" ;{marker}"))
    return "\n".join(lines) + "\n"


def tried(python: str, choice: str, tests: list[str], work: Path, log: Path) -> tuple[str, bool]:
    """Install and test in `work`; a row of the table, and whether all went well."""
    run = str(work / "env" / "bin" / "python")
    constraints = work / "constraints.txt"
    constraints.write_text(lowest() if choice == "lowest" else "")
    install = [run, "-m", "pip", "install", "-q", "--only-binary=:all:", "-c", str(constraints)]
    # The tests import the package from the checkout, and the examples run as they are.
    steps = [
        [python, "-m", "venv", str(work / "env")],
        [run, "-m", "pip", "install", "-q", "--upgrade", "pip", "setuptools", "wheel"],
        [*install, "-e", f"{ROOT}[test]"],
        [run, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
    ]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    with log.open("w") as file:
        for step in steps:
            print("$", *step, file=file, flush=True)
            status = subprocess.run(
                step, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, env=quiet, check=False
            ).returncode
            if status:
                break
    asked = subprocess.run([run, "-c", ASK, *SHOWN], capture_output=True, text=True, check=False)
    *versions, version = asked.stdout.split() or ["-"] * (len(SHOWN) + 1)
    # Pytest's last line, behind which processes that end may have written something.
    told = re.findall(
        r"^=* ?(\d+ (?:passed|failed|skipped|error).*?)=*$", log.read_text(errors="replace"), re.M
    )
    result = told[-1].strip() if told else f"status {status}"
    return f"| {' | '.join([version, choice, *versions, result])} |", not status


def main() -> int:
    """Read the arguments and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", action="append", help="by default the one that runs this")
    parser.add_argument("--work", default=tempfile.gettempdir(), help="where environments go")
    parser.add_argument("--keep", action="store_true", help="leave the environments")
    parser.add_argument("choices", nargs="+", choices=("lowest", "newest"), metavar="VERSIONS")
    given = sys.argv[1:]
    cut = given.index("--") if "--" in given else len(given)
    arguments = parser.parse_args(given[:cut])
    print(f"| Python | versions | {' | '.join(SHOWN)} | tests |")
    print("|---" * (len(SHOWN) + 3) + "|", flush=True)
    good = True
    for python in arguments.python or [sys.executable]:
        for choice in arguments.choices:
            work = Path(tempfile.mkdtemp(prefix=f"tbwatch_{choice}_", dir=arguments.work))
            log = work.with_suffix(".log")
            try:
                row, passed = tried(python, choice, given[cut + 1 :], work, log)
            finally:
                if not arguments.keep:
                    shutil.rmtree(work, ignore_errors=True)
            print(row, "" if passed else f"see {log}", flush=True)
            good &= passed
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
