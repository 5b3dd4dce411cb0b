"""The notebook runs from top to bottom, and lies in the repository without what it printed."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

PATH = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def cells() -> list[Any]:
    return [cell for cell in nbformat.read(PATH, as_version=4).cells if cell.cell_type == "code"]


def test_it_lies_here_without_outputs() -> None:
    nbformat.validate(nbformat.read(PATH, as_version=4))
    assert not [cell for cell in cells() if cell.outputs or cell.execution_count is not None]
    text = PATH.read_text()
    assert len(text) < 20_000
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client", "ignore::DeprecationWarning:zmq")
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own process, in which main is no file: whatever it starts has to be started without it."""
    monkeypatch.setenv("PYTHONPATH", str(PATH.parents[1]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    (tmp_path / "work").mkdir()
    notebook = nbformat.read(PATH, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path / "work")}}).execute()
    ran = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [{name for output in cell.outputs for name in output.get("data", {})} for cell in ran]
    said = ["".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in cell.outputs) for cell in ran]
    by_source = {cell.source.splitlines()[0]: text for cell, text in zip(ran, said, strict=True)}
    assert sum("image/png" in names for names in shown) == 2
    assert "kept + " in by_source['peoria.pack(made.table, "shards")']
    assert by_source["found"].startswith("sweep mine: 3 of 3 trials")
    assert "in the picture" in by_source['verdict = peoria.report("mine", tracking="off", say=None)'].lower()
    lines = [line for line in by_source["mine = Sweep("].splitlines() if "0000" in line]
    assert lines
    assert len(lines) == len(set(lines))
