"""The notebook runs, on the twin, and says what the page beside it says.

What runs notebooks is of the extra `docs`: `make docs` and CI have it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from programs import ROOT

NOTEBOOK = ROOT / "docs/notebooks/first-minute.ipynb"


def cells() -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]


def test_no_outputs_are_kept_that_nobody_compares() -> None:
    assert cells()
    assert [cell for cell in cells() if cell["outputs"] or cell["execution_count"]] == []


def test_it_runs_from_its_first_cell_to_its_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="what runs notebooks is of the extra docs")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    # Where `!lorafa-prof` is found, as in an environment that is active.
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    told = "".join(
        output.get("text", "") or output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    )
    assert "A keeps 9.375 GiB less for backward than B, 21.9 %" in told
    assert "Profile(activation_bytes=" in told
    assert any(
        "image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ())
    )
