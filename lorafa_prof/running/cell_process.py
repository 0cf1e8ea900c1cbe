"""What happens in a cell's process, from its start to its result."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.errors import LorafaProfError, first_line
from lorafa_prof.one_line import bounded_line
from lorafa_prof.results.files import write_atomically
from lorafa_prof.results.owner import Owner
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns
from lorafa_prof.running.family import begin_family, end_descendants
from lorafa_prof.running.preload import in_spoiled_fork, preload
from lorafa_prof.running.ranks.progress import tell_in
from lorafa_prof.running.starting import ignore_interrupts, needs_cuda

Report = dict[str, Any]
"""What a cell's process tells beside its result: its ``spoiler``, or why the result is ``unwritten``."""


#: A message is a line of a table; this is more than any of ours.
_MOST_OF_A_MESSAGE = 1000


def failed_result(cell: Cell, status: str, message: str) -> CellResult:
    """The result of a cell that yielded nothing."""
    row = {**setting_columns(cell), "status": status, "message": bounded_line(message, _MOST_OF_A_MESSAGE)}
    return CellResult(cell=cell, row=row)


def work_on_cell(
    work: Callable[[Cell], CellResult],
    cell_json: str,
    result_file: str,
    log_file: str,
    started: float,
    of: Owner,
    tell: Connection,
    afresh: bool,
    visible_gpus: str | None,
) -> None:
    """Run in the cell's process; does not return."""
    if visible_gpus is not None:  # first of all: CUDA looks at it once
        os.environ["CUDA_VISIBLE_DEVICES"] = visible_gpus
    ignore_interrupts()
    begin_family(of, forked=not afresh)
    _redirect_output(Path(log_file))
    faulthandler.enable()  # a segmentation fault leaves its stack in the log
    cell = Cell.model_validate_json(cell_json)
    if afresh:
        for _ in preload():
            pass
    elif needs_cuda(cell) and in_spoiled_fork():
        tell.send(_spoiler())
        _exit()
    _keep_bars_to_this_process()
    tell_in(Path(result_file).parent)
    ready = time.time()
    try:
        result = _result_of(work, cell, log_file)
    except BaseException:  # a method that ends its process
        end_descendants()
        raise
    result.details.setdefault("seconds", {})["process"] = ready - started
    result.details["seconds"]["total"] = time.time() - started
    try:
        write_atomically(Path(result_file), result.model_dump_json(indent=1))
    except OSError as error:
        tell.send({"unwritten": error.strerror or str(error)})
    _exit()


def _result_of(work: Callable[[Cell], CellResult], cell: Cell, log_file: str) -> CellResult:
    try:
        return work(cell)
    except LorafaProfError as error:
        return failed_result(cell, "error", str(error))
    except Exception as error:  # noqa: BLE001 - whatever it was, it becomes the cell's row and its log
        with suppress(OSError):  # a full disk must not lose the row, whose message tells of it
            traceback.print_exc()
        return failed_result(cell, "error", f"{type(error).__name__}: {first_line(error)} (see {log_file})")


def _spoiler() -> Report:
    from lorafa_prof.running.fork_server import SECONDS, SPOILER

    return {"spoiler": SPOILER or "something", "seconds": SECONDS}


def _keep_bars_to_this_process() -> None:
    """Let bars of progress, which loading weights shows, share no lock with other processes.

    That of tqdm would be left over where the process ends, and told as leaked.
    """
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())


def _exit() -> None:
    """End at once: what a method left running, threads and processes, ends with its cell."""
    with suppress(OSError, ValueError):  # a full disk, or a stream that the method closed
        sys.stdout.flush()
        sys.stderr.flush()
    end_descendants()
    os._exit(0)


def _redirect_output(log_file: Path) -> None:
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
