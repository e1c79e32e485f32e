"""Has imported TensorFlow, and forks the programs of `tests.program` from there."""

from __future__ import annotations

import gc
import json
import os
import socket
import struct
import sys
import time
import types
from pathlib import Path

import keras  # noqa: F401 - what the programs would import

LENGTH = struct.Struct("q")


def receive(client: socket.socket, size: int) -> bytes:
    """Exactly so many bytes."""
    received = b""
    while len(received) < size:
        more = client.recv(size - len(received))
        if not more:
            raise EOFError("the other end has gone")
        received += more
    return received


def orphan() -> int:
    """Fork a process whose parent is gone already; 0 in that process, its number here."""
    reader, writer = os.pipe()
    parent = os.fork()
    if not parent:
        mine = os.getpid()
        child = os.fork()
        if child:
            os.write(writer, LENGTH.pack(child))
            os._exit(0)
        os.close(reader)
        os.close(writer)
        while os.getppid() == mine:
            time.sleep(0.001)
        return 0
    os.waitpid(parent, 0)
    (child,) = LENGTH.unpack(os.read(reader, LENGTH.size))
    os.close(reader)
    os.close(writer)
    return int(child)


def serve(client: socket.socket) -> tuple[list[str], str, dict[str, str], list[int]]:
    """Fork a process for each order; returns in these processes, what is ordered and its files."""
    while True:
        size, descriptors, _, _ = socket.recv_fds(client, LENGTH.size, 3)
        if not size:
            sys.exit()  # the tests have ended
        order = json.loads(receive(client, *LENGTH.unpack(size)))
        child = orphan()
        if not child:
            client.close()
            return (*order, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        client.sendall(LENGTH.pack(child))


def begin(directory: str, environment: dict[str, str], descriptors: list[int]) -> None:
    """Be where and what the order says."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)


def run(arguments: list[str]) -> None:
    """What `python *arguments` runs: `-c` and a program, or a file; then its own arguments."""
    main = types.ModuleType("__main__")
    first, *rest = arguments
    if first == "-c":
        source, name, home = rest[0], "<string>", ""
        sys.argv = ["-c", *rest[1:]]
    else:
        source, name, home = Path(first).read_text(encoding="utf-8"), first, str(Path(first).parent)
        main.__file__ = name
        sys.argv = list(arguments)
    path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:0] = [home, *path]
    sys.modules["__main__"] = main
    exec(compile(source, name, "exec", dont_inherit=True), main.__dict__)


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file
    gc.freeze()
    given, *rest = serve(socket.socket(fileno=int(sys.argv[1])))
    begin(*rest)
    run(given)
