"""Cells side by side on this machine: predicted ones on its cores, measured ones on GPUs of their own."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cells import TWIN, make_cell

from lorafa_prof.cell import Cell
from lorafa_prof.results.record import CellResult
from lorafa_prof.running import on_this_machine
from lorafa_prof.running.executor import Orders
from lorafa_prof.running.on_this_machine import OnThisMachine, whether_it_fits

GPUS = ["GPU-a", "GPU-b"]


def on_gpu(batch: int, gpus: int = 1) -> Cell:
    parallel = "none" if gpus == 1 else "fsdp2"
    return make_cell(batch=batch, device="cuda", gpu="h100-80gb", parallel=parallel, gpus=gpus)


@dataclass
class Machine:
    """Runs cells for a moment, and notes which ran on what and beside what; batches over 10 do not fit."""

    gpus: list[str] = field(default_factory=lambda: list(GPUS))
    running: list[tuple[int, str | None]] = field(default_factory=list)
    gpu_of: dict[int, str | None] = field(default_factory=dict)
    beside: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    predicted: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run_cell(self, cell: Cell, log: Path, timeout_s: float | None, *work: Any, **on: Any) -> CellResult:
        if work:
            assert work == (whether_it_fits,)
            assert cell.is_predicted
            self.predicted.append(cell.batch)
            return CellResult(cell=cell, row={"status": "oom" if cell.batch > 10 else "ok"})
        me = cell.batch, on["visible_gpus"]
        with self.lock:
            for batch, gpu in self.running:
                assert gpu is None or gpu != me[1], "two on one GPU"
                self.beside[cell.batch].add(batch)
                self.beside[batch].add(cell.batch)
            self.running.append(me)
        self.gpu_of[cell.batch] = me[1]
        time.sleep(0.05)
        with self.lock:
            self.running.remove(me)
        return CellResult(cell=cell, row={"status": "ok"})


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(on_this_machine, "run_cell", machine.run_cell)
    monkeypatch.setattr(on_this_machine, "free_gpus", lambda: machine.gpus)
    monkeypatch.setattr(on_this_machine, "available_cores", lambda: 2)
    return machine


def run(cells: list[Cell], isolated: bool | None = None, most: int = 100) -> tuple[list[int], list[int]]:
    """The batches of the cells that started, and of those that ended; no more than `most` may start."""
    started: list[Cell] = []
    orders = Orders(lambda cell: Path("log"), None, lambda: len(started) < most, started.append)
    ended = [result.cell.batch for result in OnThisMachine(isolated).results(cells, orders)]
    return [cell.batch for cell in started], ended


def test_measured_cells_have_a_gpu_each_and_never_two_on_one(machine):
    started, ended = run([on_gpu(batch) for batch in range(1, 8)])
    assert started == sorted(ended) == machine.predicted == list(range(1, 8))
    assert set(machine.gpu_of.values()) == set(GPUS)
    assert any(machine.beside.values())


def test_one_that_does_not_fit_runs_alone(machine):
    run([on_gpu(batch) for batch in (1, 2, 30, 4, 5)])
    assert machine.beside[30] == set()
    assert machine.gpu_of[30] == "GPU-a,GPU-b"
    assert machine.beside[1] == {2}
    assert machine.beside[4] == {5}


def test_one_on_several_gpus_runs_alone_and_sees_all_that_are_free(machine):
    run([on_gpu(1), on_gpu(2), on_gpu(3, gpus=2), on_gpu(4)])
    assert machine.beside[3] == set()
    assert machine.gpu_of[3] == "GPU-a,GPU-b"
    assert machine.gpu_of[1] in GPUS


def test_where_fewer_are_free_than_one_needs_it_sees_what_this_process_does(machine):
    run([on_gpu(1), on_gpu(2, gpus=3)])
    assert machine.gpu_of[2] is None


def test_the_scenario_decides_without_predictions(machine):
    run([on_gpu(batch) for batch in (20, 30)], isolated=False)
    assert machine.beside[20] == {30}
    machine.beside.clear()
    run([on_gpu(batch) for batch in (1, 2)], isolated=True)
    assert not any(machine.beside.values())
    assert machine.gpu_of[1] is machine.gpu_of[2] is None
    assert machine.predicted == []


def test_one_gpu_and_the_cpu_measure_one_after_the_other(machine):
    run([make_cell(batch=batch) for batch in (1, 2)])
    machine.gpus = GPUS[:1]
    run([on_gpu(batch) for batch in (3, 4)])
    assert not any(machine.beside.values())
    assert set(machine.gpu_of.values()) == {None}
    assert machine.predicted == []


def test_a_gpu_that_has_no_twin_measures_alone(machine):
    run([make_cell(batch=batch, device="cuda", gpu="of-no-catalogue") for batch in (1, 2)])
    assert not any(machine.beside.values())


def test_what_is_predicted_runs_on_all_cores_and_stops_when_told(machine):
    started, ended = run([make_cell(batch=batch, device=TWIN) for batch in range(1, 9)], most=3)
    assert started == sorted(ended) == [1, 2, 3]
    assert machine.beside[1] == {2}


def test_a_full_disk_starts_no_other_and_leaves_nothing_running(machine):
    results = OnThisMachine().results(
        [make_cell(batch=batch, device=TWIN) for batch in range(1, 9)],
        Orders(lambda cell: Path("log"), None, lambda: True, lambda cell: None),
    )
    next(results)
    with pytest.raises(OSError, match="full"):
        results.throw(OSError("full"))
    assert machine.running == []
    assert len(machine.gpu_of) < 8


@pytest.mark.parametrize(("batch", "status"), [(2, "ok"), (2**18, "oom")])
def test_the_twin_tells_whether_a_cell_fits(batch, status):
    cell = make_cell("full-ft", model="tiny-llama", batch=batch, seq=128, device=TWIN)
    assert whether_it_fits(cell).row["status"] == status
