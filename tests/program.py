"""Python programs in processes of their own, without three seconds for importing TensorFlow.

Some ninety programs of tests use TensorFlow. They are forked from a process that has imported it,
and nothing of this project; from there on they are as any other: what they import, print, leave
behind and how they end is their own. Where the start of the interpreter or an import is what a test
is about, or the memory of a process, the program is started by `subprocess` instead.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.program_server import LENGTH, receive

SERVER = Path(__file__).with_name("program_server.py")
TIMEOUT = 300.0  # seconds
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class Program(subprocess.Popen):
    """A Popen whose command is `[sys.executable, "-c", program, ...]` or `[..., file, ...]`.

    Standard streams, `cwd`, `env` and `text` are those of `Popen`. Where processes cannot be
    adopted, on anything but Linux, the program is started as usual.
    """

    # Popen's own method, which starts the process; all that comes after it is Popen's.
    def _execute_child(self, args: Any, *rest: Any) -> None:
        if not sys.platform.startswith("linux"):
            super()._execute_child(args, *rest)
            return
        _, _, _, pass_fds, cwd, env, _, _, shell, *pipes = rest[:15]
        assert args[0] == sys.executable
        assert not pass_fds
        assert not shell
        taken = [pipes[0], pipes[3], pipes[5]]  # the ends of the child
        descriptors = [own if end == -1 else end for own, end in enumerate(taken)]
        order = json.dumps(
            [list(args[1:]), str(cwd or os.getcwd()), dict(os.environ if env is None else env)]
        ).encode()
        server = _server()
        socket.send_fds(server, [LENGTH.pack(len(order))], descriptors)
        server.sendall(order)
        (self.pid,) = LENGTH.unpack(receive(server, LENGTH.size))
        self._child_created = True
        self._close_pipe_fds(*pipes)


def run_fresh(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, five minutes at most, and return what it printed, as text."""
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, **options)


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """The same for a `Program`."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with Program(command, **pipes, **options) as process:
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@functools.cache
def _server() -> socket.socket:
    """To the process that forks; it ends with this one."""
    # What it forks has no parent, and is adopted by this process, which can wait for it then.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    here, there = socket.socketpair()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.Popen(
        [sys.executable, str(SERVER), str(there.fileno())],
        pass_fds=[there.fileno()],
        env=environment,
    )
    there.close()
    return here
