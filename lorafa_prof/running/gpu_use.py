"""Others on the GPU: a run that is to measure refuses it or waits; rows measured beside them are marked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence

import psutil
import torch

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.instruments.nvml import NvmlDevice, Unavailable, open_device, torch_device_uuid
from lorafa_prof.results.marks import beside, slowed
from lorafa_prof.running.starting import needs_cuda
from lorafa_prof.words.numbers import size
from lorafa_prof.words.phrases import first_of, one_line

#: So much may be in use without any process that is listed: the driver's share, a screen.
_UNLISTED_BYTES = 2**30
_LOOK_S = 2.0
_MOST_NAMED = 5


def await_free_gpu(
    cells: Sequence[Cell],
    wait_s: float | None,
    say: Callable[[str], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Return when no other process uses the GPUs that `cells` are to be measured on, if any of them is.

    Args:
        cells: that are to run.
        wait_s: how long to wait for it; None: not at all.
        say: takes a line that says what is waited for.
        sleep, clock: pass time and tell it, in seconds.

    Raises:
        UsageError: others use it still.
    """
    measured = [cell for cell in cells if needs_cuda(cell)]
    if not measured:
        return
    most = max(cell.gpus for cell in measured)
    start = clock()
    while users := [user for uuid in _uuids(most) for user in _users(uuid)]:
        waited = clock() - start
        if wait_s is None or waited >= wait_s:
            after = "" if wait_s is None else f" still, after {waited:.0f} s"
            raise UsageError(
                f"the GPU is in use by {first_of(users, _MOST_NAMED)}{after}: times and memory would be no "
                "one's; --wait waits for it, --share-gpu measures all the same and marks the rows"
            )
        if waited == 0:
            say(f"waiting for the GPU, which is in use by {first_of(users, _MOST_NAMED)}")
        sleep(min(_LOOK_S, wait_s - waited))


def disturbances(nvml: NvmlDevice | Unavailable) -> dict[str, str]:
    """Marks of a row that is being measured by this process: others on the GPU, lowered clocks."""
    if isinstance(nvml, Unavailable):
        return {}
    processes, reasons = nvml.processes(), nvml.slowed_by()
    others = [] if isinstance(processes, Unavailable) else _besides_this(processes)
    return beside(others) | ({} if isinstance(reasons, Unavailable) else slowed(reasons))


def _uuids(gpus: int) -> list[str]:
    """The UUIDs of this machine's GPUs that a cell of so many is measured on."""
    if gpus == 1:
        return [torch_device_uuid()]
    return [torch_device_uuid(index) for index in range(min(gpus, torch.cuda.device_count()))]


def free_gpus() -> list[str]:
    """The UUIDs of this machine's GPUs that cells may be measured on.

    They are the one that PyTorch takes by itself, which `await_free_gpu` is about, and all others of its name
    that no other process uses.
    """
    first = torch_device_uuid()
    name = torch.cuda.get_device_name()
    like_it = [each for each in range(torch.cuda.device_count()) if torch.cuda.get_device_name(each) == name]
    others = [uuid for uuid in map(torch_device_uuid, like_it) if uuid != first]
    return [first, *(uuid for uuid in others if not _users(uuid))]


def _users(uuid: str) -> list[str]:
    """Who uses a GPU beside this process and its children; empty also where NVML does not tell."""
    nvml = open_device(uuid)
    if isinstance(nvml, Unavailable):
        return []
    try:
        processes, used = nvml.processes(), nvml.device_used_bytes()
    finally:
        nvml.close()
    if isinstance(processes, Unavailable):
        return []
    ours = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    users = [_named(pid, held) for pid, held in processes.items() if pid not in ours]
    if not processes and not isinstance(used, Unavailable) and used > _UNLISTED_BYTES:
        users = [f"processes that are not seen from here ({size(used)})"]
    return users


def _besides_this(processes: Mapping[int, int | None]) -> list[str]:
    others = {pid: held for pid, held in processes.items() if pid != os.getpid()}
    if len(others) < len(processes):
        return [_named(pid, held) for pid, held in others.items()]
    # In a container NVML has the host's process ids: one of them, nobody knows which, is this process.
    return [f"{len(others) - 1} of other processes"] if len(others) > 1 else []


def _named(pid: int, held: int | None) -> str:
    try:
        name = f" ({one_line(psutil.Process(pid).name())})"
    except psutil.Error:
        name = ""
    return f"process {pid}{name} with {'unknown memory' if held is None else size(held)}"
