"""What a script's memory comes to on a GPU."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
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
        without_limit: where memory ran out, the same with room for every request, if it was run so too.
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
    without_limit: Prediction | None = None
    notes: tuple[str, ...] = ()
    error_line: str = ""

    @property
    def needed_reserved_bytes(self) -> int | None:
        """What the steps need in all; None: it did not come so far."""
        if self.without_limit is not None:
            return self.without_limit.peak_reserved_bytes
        return self.peak_reserved_bytes if self.status == "ok" else None

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
            "needed_reserved_bytes": self.needed_reserved_bytes,
            "at_peak_bytes": self.by_kind(),
            "holders": [asdict(holder) for holder in self.holders],
            "would_free": [asdict(saving) for saving in self.would_free],
            "out_of_memory": oom
            and {
                "line": oom.line,
                "step": oom.moment.step,
                "phase": oom.moment.phase,
                "short_bytes": oom.short_bytes,
            },
            "without_limit": self.without_limit and self.without_limit.as_json(),
            "line": self.error_line,
            "notes": list(self.notes),
        }


def prediction_of(told: Mapping[str, Any]) -> Prediction:
    """Return what `Prediction.as_json` told of a script whose memory did not run out."""
    same = ("status", "message", "gpu", "capacity_bytes", "steps")
    peaks = ("peak_requested_bytes", "peak_allocated_bytes", "peak_reserved_bytes")
    return Prediction(
        **{name: told[name] for name in (*same, *peaks)},
        holders=tuple(Holder(**each) for each in told["holders"]),
        would_free=tuple(Saving(**each) for each in told["would_free"]),
        notes=tuple(told["notes"]),
        error_line=told["line"],
    )


def holders_of(holdings: Iterable[Holding]) -> tuple[Holder, ...]:
    """Return who holds what, largest first."""
    sizes: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for one in holdings:
        kind = "temporaries" if one.is_temporary else one.kind or "other"
        sizes[one.line, one.code, kind].append(one.size_bytes)
    found = [Holder(*who, sum(each), len(each)) for who, each in sizes.items()]
    return tuple(sorted(found, key=lambda holder: -holder.bytes))
