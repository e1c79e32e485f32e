"""Where runs and their files lie in a log directory."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tbwatch.format import FILE_SUFFIX, SUBRUN


class ReadError(ValueError):
    """A log directory that does not exist, is a file, or holds no records."""


def find_runs(log_dir: str | os.PathLike[str]) -> list[Path]:
    """Find the runs that tbwatch recorded in a directory or below it.

    Args:
        log_dir: a run's log directory, a directory above several, or the `tbwatch` directory
            inside one. Symbolic links are followed.

    Returns:
        The log directories of the runs, `run2` before `run10`.

    Raises:
        ReadError: if it does not exist, is a file, or has no run in it.

    Example:
        >>> find_runs("logs")  # doctest: +SKIP
        [PosixPath('logs/run1'), PosixPath('logs/run2')]
    """
    top = directory(log_dir)
    found: set[Path] = set()
    seen: set[str] = set()
    for folder, children, names in os.walk(top, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a directory above itself would lead round for ever
            children.clear()
        elif any(_is_record_file(name) for name in names):
            found.add(run_directory(Path(folder)))
        seen.add(real)
    if not found:
        raise ReadError(no_records(top))
    return sorted(found, key=lambda path: [natural(part) for part in path.parts])


def directory(path: str | os.PathLike[str]) -> Path:
    """A directory that exists; ReadError for what is none."""
    path = Path(path)
    if path.is_dir():
        return path
    problem = "is a file" if path.exists() else "does not exist"
    raise ReadError(f"{path} {problem}: give the local log directory of a run or one above it")


def no_records(path: Path) -> str:
    """The sentence for a directory without any."""
    return f"{path} holds no tbwatch records: give the log directory of a run or one above it"


def _is_record_file(name: str) -> bool:
    return "tfevents" in name and name.endswith(FILE_SUFFIX)


def _holds_record_files(folder: Path) -> bool:
    return folder.is_dir() and any(_is_record_file(name) for name in os.listdir(folder))


def run_directory(path: Path) -> Path:
    """The run of a directory that may be the run's `tbwatch` directory, where the files are."""
    full = Path(os.path.abspath(path))
    if full.name != SUBRUN or not _holds_record_files(path):
        return path
    return path.parent if path.name == SUBRUN else full.parent


def record_files(run: Path) -> list[Path]:
    """The files in the order of creation, which their names tell: `*.tfevents.<seconds>.*`."""
    folder = run / SUBRUN if _holds_record_files(run / SUBRUN) else run
    files = [file for file in folder.iterdir() if _is_record_file(file.name) and file.is_file()]
    return sorted(files, key=lambda file: natural(file.name[file.name.index("tfevents") :]))


def natural(text: str) -> list[str | int]:
    """A sort key that puts `run2` before `run10`: texts and numbers in turn."""
    parts = re.split("([0-9]+)", text)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]
