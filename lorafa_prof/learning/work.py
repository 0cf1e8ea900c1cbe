"""What a run's process does, from reading its data to its end."""

from __future__ import annotations

from pathlib import Path

import torch

from lorafa_prof.cell import Cell
from lorafa_prof.errors import LorafaProfError
from lorafa_prof.learning.files import RunFiles
from lorafa_prof.learning.losses import DivergedError
from lorafa_prof.learning.opening import open_run
from lorafa_prof.learning.prepare import prepare_run
from lorafa_prof.learning.record import RunRecord, Value, read_record
from lorafa_prof.learning.run import LearningRun
from lorafa_prof.learning.train import Training
from lorafa_prof.results.fingerprint import fingerprint_of
from lorafa_prof.results.measured import Measured
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.out_of_memory import is_out_of_memory, out_of_memory_message
from lorafa_prof.running.runner import composed
from lorafa_prof.step import PhaseTracker

#: Under which the result's details have the row that says where a run stood when it ended.
LAST_ROW = "last_row"


def learn_cell(cell: Cell, run_json: str, out: str, at_once: int = 1) -> CellResult:
    """Train a run in this process, and return its status; what it found is in its files in `out`.

    Args:
        cell: of the run.
        run_json: the run.
        out: the folder of results.
        at_once: so many runs share the GPU, or the CPU, this one among them.

    Raises:
        UsageError: the run cannot be trained as it is written.
    """
    run = LearningRun.model_validate_json(run_json)
    files = RunFiles(Path(out), run.run_id)
    fingerprint = fingerprint_of(cell)  # before it runs: what it depends on may be edited meanwhile
    status: dict[str, Value] = {"status": "ok"}
    stopped_at: int | None = None
    tracker = PhaseTracker()
    training: Training | None = None
    try:
        record = read_record(files) or RunRecord(run=run)
        record.at_once = at_once
        record.environment = composed(cell, Measured(), fingerprint).environment
        device = torch.device(cell.device)
        opened = open_run(run)
        training = Training(record, files, opened, prepare_run(run, opened, device), device, tracker)
        training.run()
    except DivergedError as error:
        status = {"status": "diverged", "message": str(error)}
        stopped_at = error.step
    except LorafaProfError as error:
        status = {"status": "error", "message": str(error)}
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        where = f"in {tracker.phase} of step {_steps_done(training) + 1}: "
        status = {
            "status": "oom",
            "failed_phase": tracker.phase,
            "message": where + out_of_memory_message(error),
        }
    result = composed(cell, Measured(), fingerprint, status)
    if status["status"] != "ok" and training is not None:
        row = training.row(str(status["status"]), str(status["message"]))
        result.details[LAST_ROW] = row if stopped_at is None else {**row, "step": stopped_at}
    return result


def _steps_done(training: Training | None) -> int:
    return 0 if training is None else training.standing.step
