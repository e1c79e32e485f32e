"""The notebook of the examples, run by a kernel as Jupyter runs it."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import tbwatch

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "examples" / "first_look.ipynb"


def printed(cell: nbformat.NotebookNode) -> str:
    """What a cell wrote to stdout."""
    return "".join(out.text for out in cell.outputs if out.get("name") == "stdout")


def test_nothing_is_stored() -> None:
    """No outputs and no counters in the repository: they would be somebody's old numbers."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert code
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert [cell.execution_count for cell in code] == [None] * len(code)


def test_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All cells run in an empty directory; the first net is alarmed, the second one is not."""
    home = str(Path(tbwatch.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)
    # Its files stay here: the kernel's settings, and its history.
    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    work = tmp_path / "work"
    work.mkdir()
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(work)}})
    client.execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    faulty, verdict, fixed, compared, shown = code[-5:]
    assert "sigmoid: test accuracy " in printed(faulty)
    assert "vanishing_gradient, since update " in printed(verdict)
    assert "hidden1/kernel" in printed(verdict)
    assert "No alerts: " in printed(fixed)
    accuracies = [float(printed(cell).split("accuracy ")[1].split()[0]) for cell in (faulty, fixed)]
    assert accuracies[0] < 0.7 < accuracies[1]
    assert printed(compared).count("/kernel") == 9
    (frame,) = (out.data["text/html"] for out in shown.outputs if "data" in out)
    assert frame.startswith("<iframe")
    (run,) = (work / "logs" / "first_look").iterdir()
    assert sorted(folder.name for folder in run.iterdir()) == ["relu", "sigmoid"]
    assert all(name in frame for name in ("sigmoid", "relu", "vanishing_gradient", "hidden1"))
