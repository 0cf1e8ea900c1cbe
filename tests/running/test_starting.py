"""Cells start on a machine where an import initialises CUDA in the server that they are forked from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import torch
from cells import make_cell

from lorafa_prof.running import preload, starting
from lorafa_prof.running.starting import (
    ignore_interrupts,
    interrupts_withheld,
    process_context,
    start_afresh_from_now_on,
    starts_afresh,
)

#: As PEFT with torchao does it; the flag is what PyTorch says in a process that was forked then.
FAKE_PEFT = "import torch\ntorch.cuda._is_in_bad_fork = lambda: True\n"
WORK = """
import multiprocessing
from lorafa_prof.results.record import CellResult

def say_how(cell):
    how = "afresh" if "lorafa_prof.running.fork_server" not in __import__("sys").modules else "forked"
    return CellResult(cell=cell, row={"cell_id": cell.cell_id, "status": "ok", "message": how})
"""
SCRIPT = """
import sys
from pathlib import Path
from cells_work import say_how
from lorafa_prof.cell import Cell, MethodChoice, ModelChoice
from lorafa_prof.running.worker import run_cell

def cell(device):
    return Cell(
        model=ModelChoice(name="tiny-llama"), method=MethodChoice(name="full-ft"), batch=1, seq=8,
        dtype="fp32", adapter_dtype="fp32", attention="sdpa", kernels="eager", checkpointing="none",
        optimizer="adamw",
        device=device,
    )

if __name__ == "__main__":
    for device in ("cuda", "cuda", "cpu"):
        print(run_cell(cell(device), Path("log"), None, say_how).row["message"])
"""


def test_the_first_import_that_spoils_is_named_and_all_are_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = []

    def parts():  # type: ignore[no-untyped-def]
        for name in ("a", "b", "c"):
            imported.append(name)
            yield name

    monkeypatch.setattr(preload, "spoils_forks", lambda: len(imported) >= 2)
    assert preload.first_spoiler(parts()) == "b"
    assert imported == ["a", "b", "c"]


def test_only_a_fork_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not preload.spoils_forks() or torch.cuda.is_available()
    here = os.getpid()
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: os.getpid() != here)
    assert preload.spoils_forks()


def test_what_cannot_be_imported_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "breaks_at_import.py").write_text("raise RuntimeError('no driver')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert list(preload.imported(["none_such", "breaks_at_import", "json"])) == ["json"]


def test_where_the_temporary_folder_is_too_deep_for_a_socket_nothing_is_forked(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/tmp/" + "d" * 90)
    assert process_context().get_start_method() == "spawn"
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    assert process_context().get_start_method() == "forkserver"


def test_afresh_is_not_from_the_server(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    assert process_context(afresh=True).get_start_method() == "spawn"


def test_only_cells_of_a_gpu_start_afresh_and_only_once_forks_are_known_to_be_spoiled(monkeypatch, capsys):
    monkeypatch.setattr(starting._Starts, "forks_are_spoiled", False)
    cells = [make_cell(device="cuda"), make_cell(device="cpu"), make_cell(device="twin:h200-141gb")]
    assert [starts_afresh(cell) for cell in cells] == [False, False, False]
    start_afresh_from_now_on("peft\x1b[31m" + "t" * 10_000, 3.4)
    assert [starts_afresh(cell) for cell in cells] == [True, False, False]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: importing peft [31mttt")
    assert len(line) < 400
    assert "starts afresh, which takes about 3 s more; see `lorafa-prof doctor`" in line
    start_afresh_from_now_on("peft", 3.4)
    assert capsys.readouterr().err == "", "it is said once"


def blocked() -> set[int]:
    """The signals that do not reach this thread."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_no_ctrl_c_reaches_what_starts_and_after_that_it_comes_again():
    before = blocked()
    assert signal.SIGINT not in before
    with interrupts_withheld():
        assert blocked() == before | {signal.SIGINT}
    assert blocked() == before
    with pytest.raises(OSError, match="no process"), interrupts_withheld():
        raise OSError("no process")
    assert blocked() == before


def test_a_process_that_started_so_never_gets_one():
    # To this thread: one of xdist's, which withholds nothing, would take what is sent to the process.
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        with interrupts_withheld():
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            ignore_interrupts()
            assert signal.SIGINT not in blocked()
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        assert came == []
    finally:
        signal.signal(signal.SIGINT, handler)


def test_cells_start_afresh_where_forks_cannot_use_cuda(tmp_path: Path) -> None:
    for name, text in {"peft": "import unsloth\n" + FAKE_PEFT, "unsloth": ""}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
    (tmp_path / "cells_work.py").write_text(WORK)
    (tmp_path / "script.py").write_text(SCRIPT)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.split() == ["afresh", "afresh", "forked"], done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "note: importing peft (and with it unsloth) initialises CUDA, so cells cannot be forked: each one "
        "on the GPU starts afresh, which takes about "
    )
    assert line.endswith(" s more; see `lorafa-prof doctor`")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_cell_is_measured_where_an_import_initialises_cuda(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import torch\ntorch.cuda.is_available()\ntorch.cuda.init()\n")
    (tmp_path / "s.yaml").write_text(
        "schema: 1\nname: s\nmodel: tiny-llama\nmethod: [full-ft, {name: lora, rank: 2}]\nbatch: 1\nseq: 8\n"
        "dtype: bf16\ndevice: cuda\nsteps: {warmup: 1, timed: 5}\n"
    )
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "lorafa_prof", "run", "s.yaml", "--no-figures", "--share-gpu"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("initialises CUDA, so cells cannot be forked") == 1
