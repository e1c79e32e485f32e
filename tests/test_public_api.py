"""What the package offers, and what importing it does not do."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tbwatch
from tbwatch import kernels
from tests import public_api

ROOT = Path(tbwatch.__file__).parents[1]

# Set by hand: to offer less is to break programs, to offer more is to promise it.
PUBLIC = [
    "ActivationHistograms",
    "Alert",
    "DeadUpdateDetector",
    "GradientHistograms",
    "GradientNorms",
    "KernelGrid",
    "LoopWatch",
    "Record",
    "UpdateHistograms",
    "Watch",
    "WeightHistograms",
    "__version__",
    "attach",
    "put_kernels_on_grid",
]

# Hides TensorFlow and Keras, imports the module named on the command line, and prints which of
# the two were asked for: also by code that would go on without them.
HIDING_IMPORT = """
import importlib, json, sys

asked = []

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "keras"):
            asked.append(name)
            raise ModuleNotFoundError(f"{name} is hidden", name=name)

sys.meta_path.insert(0, Hide())
try:
    importlib.import_module(sys.argv[1])
except ModuleNotFoundError as error:
    if error.name not in asked:
        raise
print(json.dumps(asked))
"""

# Compares everything that Keras' optimizers, models, layers and callbacks consist of before and
# after all of tbwatch is imported, and once more after a patch that must not go unnoticed.
KERAS_UNTOUCHED = """
import importlib, inspect, json, pkgutil
import keras

def members():
    found = {}
    for home in (keras, keras.optimizers, keras.models, keras.layers, keras.callbacks):
        for owner in (home, *(m for m in vars(home).values() if inspect.isclass(m))):
            for base in inspect.getmro(owner) if inspect.isclass(owner) else (owner,):
                for name, member in vars(base).items():
                    found[f"{base.__name__}.{name}"] = id(member)
    return found

def changed(before):
    after = members()
    return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))

before = members()
assert "BaseOptimizer.apply" in before and "Trainer.fit" in before
import tbwatch
for module in pkgutil.walk_packages(tbwatch.__path__, "tbwatch."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
by_import = changed(before)
keras.optimizers.Optimizer.apply = lambda self, *args: None
print(json.dumps([by_import, changed(before)]))
"""


def run_python(code: str, *arguments: str) -> list:
    """What a fresh interpreter prints as its last line, which is JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_public_names_are_pinned() -> None:
    """`__all__`, and what `dir` shows, are exactly the promised names."""
    assert tbwatch.__all__ == PUBLIC
    assert dir(tbwatch) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_resolve(name: str) -> None:
    """Each comes from this package; a class or function under its own name."""
    value = getattr(tbwatch, name)
    if name == "__version__":
        assert isinstance(value, str)
        return
    assert value.__name__ == name
    assert value.__module__.startswith("tbwatch.")
    assert getattr(tbwatch, name) is value


# Classes and functions that users call.
CALLED = {
    name: value
    for name, value in public_api.public()
    if inspect.isfunction(value) or inspect.isclass(value)
}


@pytest.mark.parametrize("name", CALLED)
def test_public_names_are_documented(name: str) -> None:
    """A sentence, every argument, what is returned, and an example to run."""
    assert lacking(CALLED[name]) == []


def lacking(value: type | Callable[..., object]) -> list[str]:
    """What a docstring leaves out of what CONTRIBUTING asks for."""
    text = inspect.cleandoc(value.__doc__ or "")
    missing = []
    if value.__name__ not in public_api.MADE_BY_US:
        signature = inspect.signature(value)
        explained = re.findall(r"^    \*{0,2}(\w+): .", text, re.MULTILINE)
        missing += [f"argument {name}" for name in signature.parameters if name not in explained]
        if ">>>" not in text.partition("\nExample:\n")[2]:
            missing.append("example")
        returns = signature.return_annotation not in (None, "None", inspect.Signature.empty)
        if returns and not inspect.isclass(value) and "\nReturns:\n" not in text:
            missing.append("what is returned")
    if not text.partition("\n")[0].endswith("."):
        missing.append("sentence")
    members = public_api.members(value) if inspect.isclass(value) else []
    return missing + [name for name in members if not inspect.getdoc(getattr(value, name))]


def test_a_thin_docstring_is_noticed() -> None:
    """The check above can fail: for an argument, the example, and what is returned."""

    def thin(given: int, other: int = 0) -> int:
        return given + other

    thin.__doc__ = "Give a number\n\nArgs:\n    given: some number."
    assert lacking(thin) == ["argument other", "example", "what is returned", "sentence"]


def test_signatures_are_pinned() -> None:
    """`python -m tests.public_api` writes the file anew; the difference is for the changelog."""
    assert public_api.changes() == []


def test_a_changed_signature_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above can fail: for a name that went, and for another default."""

    def to_png(image: object, level: int = 9) -> bytes:
        return b""

    monkeypatch.setattr(kernels, "to_png", to_png)
    monkeypatch.setattr(kernels, "__all__", [n for n in kernels.__all__ if n != "kernels_beside"])
    went, came = public_api.changes()[:-1], public_api.changes()[-1]
    assert [line.partition("(")[0] for line in went] == [
        "-tbwatch.kernels.kernels_beside",
        "-tbwatch.kernels.to_png",
    ]
    assert came == "+tbwatch.kernels.to_png(image: object, level: int = 9) -> bytes"


@pytest.mark.parametrize("module", public_api.MODULES)
def test_all_that_a_module_offers_is_there(module: str) -> None:
    """Every name in `__all__` exists, and none is there twice."""
    names = importlib.import_module(module).__all__
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(importlib.import_module(module), name)] == []


def test_another_name_is_an_attribute_error() -> None:
    """The message names package and attribute."""
    with pytest.raises(AttributeError, match="module 'tbwatch' has no attribute 'Wacht'"):
        tbwatch.Wacht  # noqa: B018


LIGHT = ["", ".alerts", ".cli", ".reader", ".detectors", ".testing", ".kernels", ".schedule"]


@pytest.mark.parametrize("module", LIGHT)
def test_import_loads_neither_tensorflow_nor_keras(module: str) -> None:
    """Reading and judging need neither, so the command line starts fast."""
    assert run_python(HIDING_IMPORT, f"tbwatch{module}") == []


def test_a_heavy_import_is_noticed() -> None:
    """The check above can fail: the callbacks need Keras."""
    assert run_python(HIDING_IMPORT, "tbwatch.callbacks") == ["keras"]


def test_importing_all_of_tbwatch_leaves_keras_alone() -> None:
    """No class of Keras is patched by an import; a patch would be noticed."""
    by_import, by_patch = run_python(KERAS_UNTOUCHED)
    assert by_import == []
    assert by_patch == ["Optimizer.apply"]
