"""Writing: one Event per sample into an event file of our own."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import re
import socket
import time
from collections.abc import Sequence

import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from tbwatch import format
from tbwatch.summaries import Value, first_metadata_only

# A reader that follows the run is at most this far behind, and this much is lost with `kill -9`.
FLUSH_SECONDS = 2.0
# TensorBoard reads the metadata of a tag's first value only. It is written anew now and then, so
# that our own reader can go on behind a damaged record.
METADATA_EVENTS = 100

# A process that has not written for so long is taken for another one with its number.
LIVE_SECONDS = 600.0
# Windows has no signal that asks only: there, os.kill would end the other process.
_CAN_ASK = os.name != "nt"

_FILE_NAME = re.compile(
    r"tfevents\.(?P<time>[0-9]+(\.[0-9]+)?)\.(?P<host>.*)\.(?P<pid>[0-9]+)\.[0-9]+"
    + re.escape(format.FILE_SUFFIX)
    + "$"
)
_FILE_NUMBERS = itertools.count()


class EventWriter:
    """Writes into a new event file of the sub-run `<log_dir>/tbwatch`.

    Args:
        log_dir: directory of the run; local, or remote as far as TensorFlow knows its file system.

    Attributes:
        path: the file.
        neighbours: numbers of other processes on this machine that write into the same sub-run.

    Raises:
        tf.errors.OpError: if the file cannot be made.
    """

    def __init__(self, log_dir: str) -> None:
        directory = os.path.join(log_dir, format.SUBRUN)
        tf.io.gfile.makedirs(directory)
        now = time.time()
        earlier = [found for found in map(_FILE_NAME.search, _names_in(directory)) if found]
        # Sorted by name, the files of a run are in the order in which they were begun, also if the
        # clock was set back in between.
        order = max([now, *(float(found["time"]) + 1e-6 for found in earlier)])
        name = (
            f"events.out.tfevents.{order:017.6f}.{socket.gethostname()}.{os.getpid()}"
            f".{next(_FILE_NUMBERS)}{format.FILE_SUFFIX}"
        )
        self.neighbours = sorted({p for f in earlier if (p := _live_writer(directory, f))})
        self.path = os.path.join(directory, name)
        self._writer = tf.io.TFRecordWriter(self.path)
        self._seen: set[str] = set()
        self._events = 0
        try:
            begin = Event(wall_time=now, file_version="brain.Event:2")
            self._writer.write(begin.SerializeToString())
            self.flush()
        except tf.errors.OpError:
            # An empty file would be left for each try.
            with contextlib.suppress(tf.errors.OpError):
                tf.io.gfile.remove(self.path)
            raise

    def write(self, step: int, wall_time: float, values: Sequence[Value]) -> None:
        """Append one Event; it reaches the disk at the first look after `FLUSH_SECONDS`."""
        if self._events % METADATA_EVENTS == 0:
            self._seen.clear()
        self._events += 1
        summary = Summary(value=first_metadata_only(values, self._seen))
        event = Event(step=step, wall_time=wall_time, summary=summary)
        self._writer.write(event.SerializeToString())
        self._waiting = True
        if self.is_flush_due:
            self.flush()

    @property
    def is_flush_due(self) -> bool:
        """Whether there is something that should not wait any longer."""
        return self._waiting and time.monotonic() - self._flushed >= FLUSH_SECONDS

    def flush(self) -> None:
        """Hand everything to the file system.

        Raises:
            tf.errors.OpError: if it does not take it.
            FileNotFoundError: if the file was removed.
        """
        self._writer.flush()
        # Writing into a removed file succeeds for ever.
        if "://" not in self.path and not os.path.exists(self.path):
            raise FileNotFoundError(f"the event file was removed: {self.path}")
        self._flushed = time.monotonic()
        self._waiting = False

    def close(self) -> None:
        """Flush and close; a second call does nothing."""
        self._writer.close()


def _names_in(directory: str) -> list[str]:
    try:
        return list(tf.io.gfile.listdir(directory))
    except tf.errors.OpError:  # what can be written need not be readable
        return []


def _live_writer(directory: str, file: re.Match[str]) -> int | None:
    """The process that made an event file, if it is another one and still alive."""
    process = int(file["pid"])
    if not _CAN_ASK or process == os.getpid() or file["host"] != socket.gethostname():
        return None
    try:
        written = tf.io.gfile.stat(os.path.join(directory, file.string)).mtime_nsec / 1e9
        if abs(time.time() - written) > LIVE_SECONDS:
            return None
        os.kill(process, 0)  # sends nothing
    except PermissionError:
        return process  # it lives, and is another user's
    except (OSError, OverflowError, tf.errors.OpError):
        return None
    return process


def check_log_dir(log_dir: str | os.PathLike[str]) -> str:
    """Refuse a log directory that cannot be written, before the training begins.

    Returns:
        The path as a string.

    Raises:
        TypeError: if it is no path.
        ValueError: if it is a file, lies in a file, or cannot be written.
    """
    if not isinstance(log_dir, (str, os.PathLike)) or not os.fspath(log_dir):
        raise TypeError(f"log_dir must be the path of a directory; got {log_dir!r}.")
    path = os.fspath(log_dir)
    if "://" in path:  # a remote file system: only its first use can tell
        return path
    nearest = pathlib.Path(path).absolute() / format.SUBRUN
    # Not `Path.exists`, which raises where a directory may not be entered.
    while not os.path.exists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise ValueError(f"log_dir must be a directory; {path!r} is or lies in the file {nearest}.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"log_dir must be writable; {path!r} is not: no right to write {nearest}.")
    return path
