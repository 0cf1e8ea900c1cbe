"""What happens in a rank's process, from its start to its report."""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import traceback
from pathlib import Path

import torch

from lorafa_prof.cell import Cell
from lorafa_prof.errors import LorafaProfError, first_line
from lorafa_prof.parallel.group import collective_timeout_s, joined_ranks
from lorafa_prof.results.fingerprint import fingerprint_of
from lorafa_prof.results.measured import Measured
from lorafa_prof.running.family import die_with_parent
from lorafa_prof.running.out_of_memory import is_out_of_memory, out_of_memory_message
from lorafa_prof.running.passes import EXPLAINING
from lorafa_prof.running.pool import available_cores
from lorafa_prof.running.ranks.progress import RankTracker
from lorafa_prof.running.ranks.report import Failed, Failure, Report
from lorafa_prof.running.runner import Runner, composed

#: What Gloo, NCCL and their store say where a rank does not come, and where it is gone.
_WAITED = re.compile(r"timed? ?out|timeout", re.IGNORECASE)
_LOST = re.compile(
    r"closed by peer|reset by peer|broken pipe|remote process exited|connection refused|peer closed",
    re.IGNORECASE,
)


def work_on_rank(cell: Cell, run: Runner, folder: Path) -> None:
    """Measure `cell` as the rank that the environment says, and leave a report in `folder`; does not return.

    A rank that fails ends at once, without a word to the others: they are in a collective that it will not
    come to, and who started them ends them.
    """
    die_with_parent()
    faulthandler.enable()
    rank = int(os.environ["RANK"])
    if cell.device_kind == "cpu":
        torch.set_num_threads(max(1, available_cores() // cell.gpus))
    tracker = RankTracker(folder, rank)
    report = _report_of(cell, run, rank, tracker, folder)
    report.write(folder)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if report.is_complete else 1)


def _report_of(cell: Cell, run: Runner, rank: int, tracker: RankTracker, folder: Path) -> Report:
    fingerprint = fingerprint_of(cell)
    measured = Measured()
    so_far: Report | None = None

    def part_started(part: str) -> None:
        nonlocal so_far
        tracker.part_started(part)
        if part == EXPLAINING:
            so_far = Report(rank=rank, result=composed(cell, measured, fingerprint), is_sufficient=True)
            so_far.write(folder)

    measured.part_started = part_started
    try:
        with joined_ranks(cell.device_kind, offload=cell.shard.offload == "cpu"):
            run(cell, measured, tracker)
            result = composed(cell, measured, fingerprint)
            return Report(rank=rank, result=result, is_sufficient=True, is_complete=True)
    except Exception as error:  # noqa: BLE001 - whatever it was, it becomes the cell's row and its log
        traceback.print_exc()
        failure = Failure(kind=_kind(error), message=_said(error), place=tracker.place)
        # What was measured by then, such as the model's sizes, is in the row of one that ran out of memory.
        result = composed(cell, measured, fingerprint)
        return Report(rank=rank, result=result, is_sufficient=so_far is not None, failure=failure)


def _kind(error: Exception) -> Failed:
    if is_out_of_memory(error):
        return "oom"
    if isinstance(error, LorafaProfError):
        return "error"
    if _LOST.search(str(error)):
        return "lost"
    return "timeout" if _WAITED.search(str(error)) else "error"


def _said(error: Exception) -> str:
    if is_out_of_memory(error):
        return out_of_memory_message(error)
    if isinstance(error, LorafaProfError):
        return str(error)
    if _kind(error) == "timeout":
        return f"waited more than {collective_timeout_s():g} s for another rank"
    return f"{type(error).__name__}: {first_line(error)}"
