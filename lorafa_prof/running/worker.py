"""Running a cell in a process of its own, so that no cell sees another's allocator, autotuning or crash.

Processes are forked from a server that has imported everything and touched no device, so a cell pays for
its own CUDA context, but not again for importing PyTorch and transformers.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.errors import LorafaProfError, first_line
from lorafa_prof.results.files import write_atomically
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns
from lorafa_prof.running.measure import measure_cell

Work = Callable[[Cell], CellResult]


def run_cell(cell: Cell, log_file: Path, timeout_s: float | None, work: Work = measure_cell) -> CellResult:
    """Measure `cell` in a process of its own and return its result, whatever becomes of the process.

    Args:
        cell: what to measure.
        log_file: takes the process's stdout and stderr.
        timeout_s: after so many seconds the process is ended; None: never.
        work: what that process does with the cell: a function that can be imported there.
    """
    with tempfile.TemporaryDirectory(prefix="lorafa-prof-") as folder:
        result_file = Path(folder) / "result.json"
        arguments = (work, cell.model_dump_json(), str(result_file), str(log_file), time.time())
        process = process_context().Process(target=_work, args=arguments)
        process.start()
        try:
            process.join(timeout_s)
            timed_out = process.is_alive()
        finally:
            _end(process)
        if result_file.exists():
            return CellResult.model_validate_json(result_file.read_text(encoding="utf-8"))
    if timed_out:
        return failed_result(cell, "timeout", f"no result within {timeout_s:g} s")
    return failed_result(cell, "error", _death(process, log_file))


def failed_result(cell: Cell, status: str, message: str) -> CellResult:
    """Return the result of a cell that yielded nothing but a status and a message."""
    return CellResult(cell=cell, row={**setting_columns(cell), "status": status, "message": message})


def process_context() -> Any:
    """Return the context that processes are started from: a server that has imported everything.

    Where the system has no fork it is one that starts a new interpreter.
    """
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload([__name__, "lorafa_prof.running.preload"])
    return context


def _end(process: BaseProcess) -> None:
    if process.is_alive():
        process.kill()
    process.join()


def _death(process: BaseProcess, log_file: Path) -> str:
    code = process.exitcode or 0
    ending = f"killed by {_signal_name(-code)}" if code < 0 else f"exit code {code}"
    if code == -signal.SIGKILL:
        ending += " (the host ran out of memory?)"
    return f"the cell's process died: {ending}; its log is {log_file}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time one
        return f"signal {number}"


def _work(work: Work, cell_json: str, result_file: str, log_file: str, started: float) -> None:
    """Do the work on a cell, in the cell's process, and write its result."""
    die_with_parent()
    _redirect_output(Path(log_file))
    faulthandler.enable()  # a segmentation fault leaves its stack in the log
    ready = time.time()
    cell = Cell.model_validate_json(cell_json)
    try:
        result = work(cell)
    except LorafaProfError as error:
        result = failed_result(cell, "error", str(error))
    except Exception as error:  # noqa: BLE001 - whatever it was, it becomes the cell's row and its log
        traceback.print_exc()
        result = failed_result(cell, "error", f"{type(error).__name__}: {first_line(error)} (see {log_file})")
    result.details.setdefault("seconds", {})["process"] = ready - started
    result.details["seconds"]["total"] = time.time() - started
    write_atomically(Path(result_file), result.model_dump_json(indent=1))


def die_with_parent() -> None:
    """End this process when the sweep's process ends, however it ends.

    So no cell keeps a GPU for nobody.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _redirect_output(log_file: Path) -> None:
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
