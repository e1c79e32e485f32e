"""A forked program is what a started one would be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program import Program, run, run_fresh

SAYS_WHAT_IT_IS = """
import atexit, json, os, sys
atexit.register(print, "bye")
ours = [name for name in sys.modules if name.partition(".")[0] in ("tbwatch", "tests", "pytest")]
told = [sys.argv, os.getcwd(), sorted(os.environ), sys.path[:2], ours, __name__, __file__]
print(json.dumps(told), file=sys.stderr)
sys.exit(7)
"""


def test_it_is_what_a_started_program_is(tmp_path: Path) -> None:
    """Arguments, directory, environment, path, what is imported, streams, exit: all the same."""
    file = tmp_path / "program.py"
    file.write_text(SAYS_WHAT_IT_IS)
    environment = {"PYTHONPATH": "/here", "COLOUR": "blue"}
    command = [sys.executable, str(file), "--option", "two words"]
    forked, started = (start(command, cwd=tmp_path, env=environment) for start in (run, run_fresh))
    assert forked.returncode == 7
    assert forked.stdout == "bye\n"
    assert '"--option", "two words"' in forked.stderr
    assert '["COLOUR", "PYTHONPATH"' in forked.stderr.replace('"LC_CTYPE", ', "")
    for one in (forked, started):
        one.args = None
        # What the C library adds by itself, and TensorFlow.
        one.stderr = one.stderr.replace('"LC_CTYPE", ', "").splitlines()[-1]
    assert vars(forked) == vars(started)


def test_an_error_ends_it_as_any_program() -> None:
    """Status 1, and the last line of stderr names the error."""
    done = run([sys.executable, "-c", "import sys\nassert sys.argv == ['-c']\n1 / 0"])
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it(number: signal.Signals) -> None:
    """This process is its parent: it learns which signal it was, and can wait for it."""
    code = f"import time, os\nprint(os.getppid() == {os.getpid()}, flush=True)\ntime.sleep(100)"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    process = Program([sys.executable, "-c", code], **pipes)
    assert process.stdout.readline() == "True\n"
    assert process.poll() is None
    process.send_signal(number)
    assert process.wait(20) == -number


def test_programs_draw_different_numbers() -> None:
    """They have a process in common, and no random state."""
    code = "import numpy\nprint(numpy.random.rand())"
    drawn = {run([sys.executable, "-c", code]).stdout for _ in range(3)}
    assert len(drawn) == 3
