"""Programs of a directory outside this repository: `programs.py` with `CASES` and `fit`."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from benchmarks.scoreboard_parts.program import Program


def shared_programs(directory: Path) -> list[Program]:
    """The cases of `directory/programs.py`, with their truth.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    file = directory / "programs.py"
    if not file.is_file():
        raise FileNotFoundError(f"--faults {directory}: there is no programs.py in it.")
    spec = importlib.util.spec_from_file_location("scoreboard_shared_programs", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    # The directory may be read-only.
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return [_program(module, case) for case in module.CASES]


def _program(module: Any, case: Any) -> Program:
    return Program(
        id=case.id,
        about=case.note or case.source,
        epochs=case.epochs,
        batch_size=case.batch_size,
        healthy=case.healthy,
        labels=case.labels,
        acceptable=case.acceptable,
        where=case.where,
        seed=case.seed,
        scored=case.scored,
        origin="shared",
        train=functools.partial(_train, module, case),
    )


def _train(module: Any, case: Any, callbacks: Sequence[keras.callbacks.Callback]) -> keras.Model:
    model, _ = module.fit(case, callbacks=list(callbacks))
    return model
