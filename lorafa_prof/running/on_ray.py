"""Running the cells of a sweep as tasks of a Ray cluster; the results come back to the caller's store.

Ray schedules, and tries a task again whose node or worker died. Within its task a cell runs in a process of
its own, as on this machine (`worker.run_cell`).
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import exceptions

from lorafa_prof.cell import Cell, ResolvedDevice
from lorafa_prof.devices.device import resolve_among
from lorafa_prof.errors import LorafaProfError, UsageError, first_line
from lorafa_prof.results.files import write_atomically
from lorafa_prof.results.fingerprint import kept_fingerprint
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.cell_process import failed_result
from lorafa_prof.running.executor import Orders
from lorafa_prof.running.ray_cluster import Node, difference, gpu_of_nodes, own_software
from lorafa_prof.running.starting import gpus_needed
from lorafa_prof.running.worker import run_cell
from lorafa_prof.words.phrases import count

#: So often a cell is tried again whose node, or the worker of Ray that ran it, died.
RETRIES = 3
#: How often a sweep that waits for Ray looks whether Ctrl-C was pressed.
_LOOK_S = 0.5

Amounts = Mapping[str, float]
"""What a task takes, or what there is, of Ray's resources: CPU and GPU."""


@dataclass(frozen=True)
class OnRay:
    """The executor of a sweep on a Ray cluster that this process is connected to (`ray_cluster.connected`).

    Attributes:
        nodes: those that answered when it was connected.
        isolated: whether a measured cell has a node for itself; one on CPUs has in any case.
    """

    nodes: Sequence[Node]
    isolated: bool | None = None

    @cached_property
    def _gpu(self) -> str | None:
        return gpu_of_nodes(self.nodes)

    def resolve_device(self, device: str, gpu: str) -> ResolvedDevice:
        """Return the device of the cluster's nodes: `auto` is CUDA where one of them has a GPU.

        Raises:
            UsageError: as `devices.device.resolve_device` does, of the nodes; or their GPUs differ.
        """
        return resolve_among(device, gpu, lambda: self._gpu, "no node of the Ray cluster has a GPU")

    def results(self, cells: Sequence[Cell], orders: Orders) -> Iterator[CellResult]:
        """Run `cells` and yield their results as they come; see `executor.Executor`.

        Raises:
            UsageError: no node has what a cell needs.
        """
        most = max(map(gpus_needed, cells))
        if not _able(most):
            more = f" and {count(most, 'GPU')} beside it" if most else ""
            raise UsageError(f"no node of the Ray cluster has a CPU for a cell{more}")
        waiting = list(reversed(cells))
        under_way: dict[Any, tuple[Cell, Amounts]] = {}
        try:
            while waiting or under_way:
                while waiting and _there_is_room(
                    need := self._needs(waiting[-1]), [taken for _, taken in under_way.values()]
                ):
                    cell = waiting.pop()
                    if orders.may_start(cell):
                        under_way[_submit(cell, need, orders)] = cell, need
                ended, _ = ray.wait(list(under_way), timeout=_LOOK_S) if under_way else ((), ())
                for task in ended:
                    cell, _ = under_way.pop(task)
                    yield _result(task, cell, orders)
        finally:
            for task in under_way:
                ray.cancel(task, force=True)  # the cell's process ends with its worker

    def _needs(self, cell: Cell) -> Amounts:
        """What a cell's task takes: all CPUs of a node where no other may disturb it."""
        gpus = gpus_needed(cell)
        alone = not cell.is_predicted and (self.isolated or not gpus)
        return {"CPU": max(_able(gpus), default=1.0) if alone else 1, "GPU": gpus}


def _able(gpus: int) -> list[float]:
    """The CPUs of the nodes, as they are now, that have a CPU and so many GPUs."""
    there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [each["CPU"] for each in there if each.get("CPU", 0) >= 1 and each.get("GPU", 0) >= gpus]


def _there_is_room(need: Amounts, taken: Sequence[Amounts]) -> bool:
    """Whether the cluster as it is now has room for one more, so that what is submitted starts at once.

    One is submitted whatever there is: it is what an autoscaler goes by.
    """
    there = ray.cluster_resources()
    return not taken or all(
        sum(each[name] for each in taken) + amount <= there.get(name, 0) for name, amount in need.items()
    )


def _submit(cell: Cell, need: Amounts, orders: Orders) -> Any:
    options = {"num_cpus": need["CPU"], "num_gpus": need["GPU"], "max_retries": RETRIES}
    # A model's path that is relative to the current folder means that of the caller.
    folder = cell.model.folder or str(Path.cwd())
    there = cell.model_copy(update={"model": cell.model.model_copy(update={"folder": folder})})
    # max_calls: Ray ends a worker after each task on a GPU, to free its memory; ours never touches the GPU.
    task = ray.remote(max_calls=0)(run_on_node).options(**options, name=cell.cell_id)
    return task.remote(there.model_dump_json(), str(orders.log_of(cell)), orders.timeout_s)


def _result(task: Any, cell: Cell, orders: Orders) -> CellResult:
    """What came of a cell's task; its log is written where it belongs."""
    try:
        result_json, log = ray.get(task)
    except exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, LorafaProfError) else error from error
    except exceptions.OutOfMemoryError as error:
        return failed_result(cell, "error", f"its node ran out of host memory: {first_line(error)}")
    except exceptions.RayError as error:
        what = f"its node, or Ray's worker on it, died {RETRIES + 1} times: {type(error).__name__}"
        return failed_result(cell, "error", f"{what}: {first_line(error)}")
    write_atomically(orders.log_of(cell), log)
    result = CellResult.model_validate_json(result_json)
    # Of a node that joined later, which nobody has asked.
    if result.environment and (differing := difference(kept_fingerprint(result.environment), own_software())):
        return failed_result(cell, "error", f"its node differs: {differing}; install the same there as here")
    return result.model_copy(update={"cell": cell})


def run_on_node(cell_json: str, log_name: str, timeout_s: float | None) -> tuple[str, bytes]:
    """The task: run a cell on this node, and return its result and its log, which messages call `log_name`.

    Raises:
        UsageError: the node has no room for temporary files.
    """
    _give_cells_all_threads()
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES") if ray.get_gpu_ids() else None
    with tempfile.TemporaryDirectory(prefix="lorafa-prof-log-") as folder:
        log = Path(folder, "log")
        try:
            result = run_cell(Cell.model_validate_json(cell_json), log, timeout_s, visible_gpus=gpus)
        except LorafaProfError as error:
            raise UsageError(f"node {socket.gethostname()}: {error}") from error
        if message := result.row.get("message"):
            named = str(message).replace(str(log), log_name)
            result = result.model_copy(update={"row": {**result.row, "message": named}})
        return result.model_dump_json(), log.read_bytes() if log.exists() else b""


def _give_cells_all_threads() -> None:
    """Take back the number of threads that Ray sets for a task: cells have as many as anywhere else."""
    if "OMP_NUM_THREADS" not in psutil.Process().environ():  # as this process was started
        os.environ.pop("OMP_NUM_THREADS", None)
