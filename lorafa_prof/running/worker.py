"""Running a cell in a process of its own, so that no cell sees another's allocator, autotuning or crash.

Processes are forked from a server that has imported everything and touched no device, so a cell pays for
its own CUDA context, but not again for importing PyTorch and transformers. Where an import touches the device
(`starting.py`), they start afresh.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from lorafa_prof.cell import Cell
from lorafa_prof.results.owner import Owner, this_process
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.cell_process import Report, failed_result, work_on_cell
from lorafa_prof.running.deaths import death
from lorafa_prof.running.family import end_family
from lorafa_prof.running.logs import MIB, MOST_BYTES, is_too_long, shorten
from lorafa_prof.running.ranks.allocation import allocation_here, dismiss_ranks
from lorafa_prof.running.ranks.progress import where_ranks_are
from lorafa_prof.running.scratch import NO_ROOM, cannot_write_result, no_room, scratch_folder
from lorafa_prof.running.starting import (
    interrupts_withheld,
    process_context,
    start_afresh_from_now_on,
    starts_afresh,
)

Work = Callable[[Cell], CellResult]


def measured(cell: Cell) -> CellResult:
    """What a cell's process does by default. Only there it imports what measures, transformers and all."""
    from lorafa_prof.running.measure import measure_cell

    return measure_cell(cell)


#: How often a cell's process is looked at while it runs.
_LOOK_S = 0.5
#: What multiprocessing gives where the server went before its process.
_SERVER_DIED = 255
#: Processes of cells that run now.
_UNDER_WAY: set[int] = set()


@dataclass(frozen=True)
class _End:
    """How a cell's process ended.

    Attributes:
        how: by itself, or ended by us since it took too long or printed too much, or it never began.
        code: its exit code, negative for a signal.
        result: what it yielded.
        report: what it told beside that.
        reason: why it never began.
        ranks: where its ranks were, if it has some.
    """

    how: Literal["ended", "timeout", "log", "not begun"]
    code: int = 0
    result: CellResult | None = None
    report: Report = field(default_factory=dict)
    reason: str = ""
    ranks: str = ""

    @property
    def is_the_servers(self) -> bool:
        """Whether the process went, or did not come, for want of the server it is forked from."""
        lost = self.how == "ended" and self.code == _SERVER_DIED and self.result is None
        return lost or self.how == "not begun"


def run_cell(
    cell: Cell,
    log_file: Path,
    timeout_s: float | None,
    work: Work = measured,
    visible_gpus: str | None = None,
) -> CellResult:
    """Measure `cell` in a process of its own and return its result, whatever becomes of the process.

    Where the server that processes are forked from is killed, the cell is tried once more.

    Args:
        cell: what to measure.
        log_file: takes the process's stdout and stderr.
        timeout_s: after so many seconds the process is ended; None: never.
        work: what that process does with the cell: a function that can be imported there.
        visible_gpus: what CUDA_VISIBLE_DEVICES is there; None: as it was when the server started.

    Raises:
        UsageError: there is no room for temporary files.
    """
    attempt = partial(_attempt, cell, log_file, timeout_s, work, visible_gpus)
    end = attempt(afresh=starts_afresh(cell))
    if "spoiler" in end.report:
        start_afresh_from_now_on(end.report["spoiler"], end.report["seconds"])
        end = attempt(afresh=True)
    elif end.is_the_servers:
        end = attempt(afresh=starts_afresh(cell))
    return end.result or _without_result(cell, end, log_file, timeout_s)


def end_cells_under_way() -> None:
    """End all processes of cells at once; whoever waits for them gets a failed result."""
    owner = this_process()
    for pid in tuple(_UNDER_WAY):
        end_family(owner, pid)


def _attempt(
    cell: Cell, log_file: Path, timeout_s: float | None, work: Work, visible_gpus: str | None, *, afresh: bool
) -> _End:
    owner = this_process()
    context = process_context(afresh=afresh)
    reader, writer = context.Pipe(duplex=False)
    with scratch_folder(owner) as folder, reader, writer:
        result_file = folder / "result.json"
        task = (work, cell.model_dump_json(), str(result_file), str(log_file), time.time())
        process = context.Process(target=work_on_cell, args=(*task, owner, writer, afresh, visible_gpus))
        try:
            with interrupts_withheld():
                process.start()
        except (OSError, EOFError) as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise no_room(error) from error
            return _End("not begun", reason=f"{type(error).__name__}: {error}")
        how = _watched(process, log_file, timeout_s, owner)
        shorten(log_file)
        ranks = _leave_ranks(cell, folder)
        return _End(how, process.exitcode or 0, _result_in(result_file), _told(reader), ranks=ranks)


def _watched(
    process: BaseProcess, log_file: Path, timeout_s: float | None, owner: Owner
) -> Literal["ended", "timeout", "log"]:
    """Wait for the end of `process`, or bring it about."""
    assert process.pid is not None
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    _UNDER_WAY.add(process.pid)
    try:
        while True:
            left = _LOOK_S if deadline is None else deadline - time.monotonic()
            process.join(max(0.0, min(_LOOK_S, left)))
            if not process.is_alive():
                return "ended"
            if left <= 0:
                return "timeout"
            if is_too_long(log_file):
                return "log"
    finally:
        end_family(owner, process.pid)
        if process.is_alive():
            process.kill()
        process.join()
        _UNDER_WAY.discard(process.pid)


def _leave_ranks(cell: Cell, folder: Path) -> str:
    """Let ranks elsewhere end too; return where those were that this process knows of."""
    if not cell.has_ranks:
        return ""
    if (allocation := allocation_here()) is None:
        return where_ranks_are(folder, cell.gpus)
    dismiss_ranks(allocation)
    return where_ranks_are(folder, 1)


def _result_in(file: Path) -> CellResult | None:
    try:
        return CellResult.model_validate_json(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError, UnicodeDecodeError):  # none, or written by another than us
        return None


def _told(reader: Connection) -> Report:
    try:
        report: Report = reader.recv() if reader.poll() else {}
    except (EOFError, OSError):
        return {}
    return report


def _without_result(cell: Cell, end: _End, log_file: Path, timeout_s: float | None) -> CellResult:
    if end.how == "timeout":
        where = f"; {end.ranks}" if end.ranks else ""
        return failed_result(cell, "timeout", f"no result within {timeout_s:g} s{where}")
    if end.how == "log":
        what = (
            f"it printed more than {MOST_BYTES // MIB} MiB and was ended; beginning and end are in {log_file}"
        )
        return failed_result(cell, "error", what)
    if end.how == "not begun":
        return failed_result(cell, "error", f"its process could not be started, twice: {end.reason}")
    if "unwritten" in end.report:
        return failed_result(cell, "error", cannot_write_result(end.report["unwritten"]))
    return failed_result(cell, "error", _death(end, log_file))


def _death(end: _End, log_file: Path) -> str:
    how = death(end.code)
    if end.is_the_servers:
        how += ", twice (was the server that cells are forked from killed?)"
    return f"the cell's process died: {how}; its log is {log_file}"
