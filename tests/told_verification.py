"""Verifications whose processes are not started but told what to give: here there is no GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns
from lorafa_prof.verification import processes

GIB = 2**30


def memory_of(peak: int = GIB) -> dict[str, Any]:
    """A profile, all of whose numbers follow from its peak."""
    counters = {"allocated": peak, "requested": peak - 100, "active": peak, "reserved": 2 * peak}
    start = {name: value // 2 for name, value in counters.items()}
    phase = {"start": start, "end": start, "peak": counters}
    return {
        "phases": dict.fromkeys(("forward", "backward", "optimizer"), phase),
        "peak_reserved_bytes": 2 * peak,
    }


def sent(nbytes: int = 64) -> dict[str, Any]:
    """What a rank sends: in each phase with collectives one gather."""
    gathers = [
        {"phase": phase, "collective": "all_gather", "calls": 2, "bytes": 2 * nbytes, "sent_bytes": nbytes}
        for phase in ("forward", "backward")
    ]
    return {"sent": gathers, "buffers_bytes": {}, "exposed_ms": None, "sent_bytes": 2 * nbytes}


class Told:
    """Stands for `run_cell`: each part gives a memory of 1 GiB, or what `say` has for it and the method.

    Of a cell of several GPUs each rank has that; what is said of one has its number too.
    """

    def __init__(self) -> None:
        self.say: dict[tuple[str, str] | tuple[str, str, int], Any] = {}
        self.asked: list[tuple[str, str]] = []
        self.logs: list[Path] = []
        self.timeouts: list[float | None] = []
        self.stream: dict[str, Any] = {}

    def run_cell(self, cell: Cell, log: Path, timeout_s: float | None, work: Any) -> CellResult:
        part = {
            processes.measure: "measured",
            processes.record: "recorded",
            processes.predict: "predicted",
            processes.predict_with_stream: "predicted with stream",
        }[work]
        self.logs.append(log)
        self.timeouts.append(timeout_s)
        self.asked.append((cell.method.name, part))
        said = self.say.get((cell.method.name, part.split()[0]), {})
        if isinstance(said, BaseException):
            raise said
        row = {**setting_columns(cell), "status": "ok", **said}
        details: dict[str, Any] = {}
        if row["status"] == "ok":
            details = self._details(part, row.pop("peak", GIB))  # type: ignore[arg-type]
            if cell.parallel != "none":
                ranks = range(1 if cell.is_predicted else cell.gpus)
                details["ranks"] = [self._of_rank(cell, part, rank) for rank in ranks]
        return CellResult(cell=cell, row=row, details=details, environment={"device": cell.device})

    def _details(self, part: str, peak: int) -> dict[str, Any]:
        streams = self.stream if part in ("recorded", "predicted with stream") else {}
        return {"memory": memory_of(peak), **streams}

    def _of_rank(self, cell: Cell, part: str, rank: int) -> dict[str, Any]:
        said = self.say.get((cell.method.name, part.split()[0], rank), {})
        details = self._details(part, said.get("peak", GIB))
        return {"rank": rank, "communication": sent(said.get("sent", 64)), **details}

    @property
    def parts(self) -> list[str]:
        return [part for _, part in self.asked]
