"""What a script's memory comes to on a GPU."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from lorafa_prof.parts import BLOCK_KINDS
from lorafa_prof.predicting.recorder import Holding, OutOfMemory
from lorafa_prof.predicting.savings import Saving

Status = Literal["ok", "oom", "refused", "error", "nothing"]


@dataclass(frozen=True)
class Holder:
    """What one line of the script holds of one kind when most is allocated.

    Attributes:
        line: "file:number"; empty where no line of the script is behind it.
        code: "file:number" of the line below it, of a library or its own, that took the memory.
        kind: as `BlockKind`.
        bytes: allocated.
        blocks: how many.
    """

    line: str
    code: str
    kind: str
    bytes: int
    blocks: int


@dataclass(frozen=True)
class Prediction:
    """The memory of a script on a GPU.

    Attributes:
        status: "ok"; "oom": memory ran out; "refused": it hangs on what only the GPU could tell; "error": the
            script failed; "nothing": it took no memory of the GPU, or no optimizer step.
        message: one sentence.
        gpu: name in the catalogue.
        capacity_bytes: bytes that PyTorch can get of it; None: not known.
        steps: optimizer steps that were taken.
        peak_requested_bytes, peak_allocated_bytes, peak_reserved_bytes: over all that ran.
        holders: what was there when most was allocated, largest first.
        would_free: what would free how much of that, most first.
        out_of_memory: where memory ran out, if it did.
        notes: sentences that a reader must know.
        error_line: the script's line where it was refused or failed.
    """

    status: Status
    message: str
    gpu: str
    capacity_bytes: int | None
    steps: int
    peak_requested_bytes: int
    peak_allocated_bytes: int
    peak_reserved_bytes: int
    holders: tuple[Holder, ...]
    would_free: tuple[Saving, ...]
    out_of_memory: OutOfMemory | None = None
    notes: tuple[str, ...] = ()
    error_line: str = ""

    def by_kind(self) -> dict[str, int]:
        """Return the bytes at the peak of each kind that there is, in the order of `BLOCK_KINDS`."""
        totals: dict[str, int] = defaultdict(int)
        for holder in self.holders:
            totals[holder.kind] += holder.bytes
        return {kind: totals[kind] for kind in BLOCK_KINDS if totals[kind]}

    def as_json(self) -> dict[str, Any]:
        """Return it as values for JSON."""
        oom = self.out_of_memory
        return {
            "status": self.status,
            "message": self.message,
            "gpu": self.gpu,
            "capacity_bytes": self.capacity_bytes,
            "steps": self.steps,
            "peak_requested_bytes": self.peak_requested_bytes,
            "peak_allocated_bytes": self.peak_allocated_bytes,
            "peak_reserved_bytes": self.peak_reserved_bytes,
            "at_peak_bytes": self.by_kind(),
            "holders": [
                {"line": h.line, "code": h.code, "kind": h.kind, "bytes": h.bytes, "blocks": h.blocks}
                for h in self.holders
            ],
            "would_free": [saving.as_json() for saving in self.would_free],
            "out_of_memory": oom
            and {
                "line": oom.line,
                "step": oom.moment.step,
                "phase": oom.moment.phase,
                "short_bytes": oom.short_bytes,
            },
            "line": self.error_line,
            "notes": list(self.notes),
        }


def holders_of(holdings: Iterable[Holding]) -> tuple[Holder, ...]:
    """Return who holds what, largest first."""
    sizes: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for one in holdings:
        kind = "temporaries" if one.is_temporary else one.kind or "other"
        sizes[one.line, one.code, kind].append(one.size_bytes)
    found = [Holder(*who, sum(each), len(each)) for who, each in sizes.items()]
    return tuple(sorted(found, key=lambda holder: -holder.bytes))
