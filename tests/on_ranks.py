"""Running a function of a test on several ranks, each a process on the CPU."""

from __future__ import annotations

import os
import pickle
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lorafa_prof.parallel.group import joined_ranks
from lorafa_prof.running.ranks.processes import meeting_place, rank_environment, started


def on_ranks(work: Callable[..., Any], *args: Any, count: int = 2) -> list[Any]:
    """What ``work(*args)`` returns on each rank."""
    with tempfile.TemporaryDirectory() as folder, meeting_place(count) as meeting:
        environments = [rank_environment(meeting, rank, rank) for rank in range(count)]
        with started(environments, _work, folder, work, args) as processes:
            for process in processes:
                process.join(120)
        outcomes = [pickle.loads(file.read_bytes()) for file in sorted(Path(folder).iterdir())]
    assert len(outcomes) == count, [process.exitcode for process in processes]
    for outcome in outcomes:
        assert not isinstance(outcome, _Broken), outcome.trace
    return outcomes


class _Broken:
    def __init__(self, trace: str) -> None:
        self.trace = trace


def _work(folder: str, work: Callable[..., Any], args: Any) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    try:
        with joined_ranks("cpu"):
            outcome = work(*args)
    except Exception:  # noqa: BLE001 - it is the test's failure
        outcome = _Broken(traceback.format_exc())
    (Path(folder) / os.environ["RANK"]).write_bytes(pickle.dumps(outcome))
