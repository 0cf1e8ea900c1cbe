"""Why a cell needs what it needs: its record, brought down to what people read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorafa_prof.explaining.names import tensor_name
from lorafa_prof.explaining.reasons import uses
from lorafa_prof.figures.memory_by_kind import SAVED
from lorafa_prof.results.needs import recorded_needs
from lorafa_prof.results.tensors import STATIC_KINDS, Tensors, largest, saved_tensors

#: A cell of a large model has some thirty kinds of tensors and a dozen modules; the rest is counted.
MOST_TENSORS = 12
MOST_MODULES = 12


@dataclass(frozen=True)
class HeldTensors:
    """Equal tensors of like modules.

    Attributes:
        what: type and shape, "bf16[2×1024×4096]".
        line: of the code that had the first of them saved.
        why: what backward needs them for; empty where the record does not know it.
    """

    kind: str
    module: str
    what: str
    count: int
    nbytes: int
    line: str
    why: tuple[str, ...]


@dataclass(frozen=True)
class HeldByModule:
    """All that the modules of one path have saved, layers taken together."""

    module: str
    count: int
    nbytes: int


@dataclass(frozen=True)
class Explanation:
    """What holds a cell's memory; all sizes in bytes.

    Attributes:
        parts: weights, gradients and optimizer as columns of the row, then ``saved_<kind>``, ``unsaved``
            (held in forward otherwise, or rounded up by the allocator) and ``other`` (what the peak is more).
        beyond_peak: how much more the parts are together than the peak, since they are not all there at once.
        tensors, modules: the largest first.
        tensors_left_out, modules_left_out: how many more there are, and their bytes.
        phases: allocated at the start of each phase, at its peak and at its end.
        flops: operations by phase.
        notes: what the reader of the row must know, and what this machine could not tell.
    """

    parts: Mapping[str, int]
    beyond_peak: int
    tensors: tuple[HeldTensors, ...]
    tensors_left_out: tuple[int, int]
    modules: tuple[HeldByModule, ...]
    modules_left_out: tuple[int, int]
    phases: Mapping[str, tuple[int, int, int]]
    flops: Mapping[str, int]
    notes: tuple[str, ...]


def explain(row: Mapping[str, Any], details: Mapping[str, Any]) -> Explanation:
    """Explain a cell by its row and the details of its record.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: the details are not as this version writes them.
    """
    saved, needs = saved_tensors(details) or {}, recorded_needs(details)
    parts, beyond_peak = parts_of(row, _by_kind(saved))
    modules = _by_module(saved)
    tensors = [
        HeldTensors(
            change.key.kind,
            change.key.module,
            tensor_name(change.key),
            change.after.count,
            change.after.nbytes,
            change.after.line,
            tuple(uses(needs[change.key], change.key)) if change.key in needs else (),
        )
        for change in largest(saved)
    ]
    return Explanation(
        parts=parts,
        beyond_peak=beyond_peak,
        tensors=tuple(tensors[:MOST_TENSORS]),
        tensors_left_out=_left_out([(each.count, each.nbytes) for each in tensors[MOST_TENSORS:]]),
        modules=tuple(modules[:MOST_MODULES]),
        modules_left_out=_left_out([(1, each.nbytes) for each in modules[MOST_MODULES:]]),
        phases=_phases(details),
        flops=dict((details.get("flops") or {}).get("by_phase", {})),
        notes=_notes(details),
    )


def parts_of(row: Mapping[str, Any], saved_by_kind: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """What makes up the peak of a cell that finished, and how much more that is than the peak.

    Without `saved_by_kind` what forward holds is one part, ``activation_bytes``.
    """
    if row.get("status") != "ok":
        return {}, 0
    parts = {f"{name}_bytes": int(row[f"{name}_bytes"]) for name in STATIC_KINDS if row.get(f"{name}_bytes")}
    held = row.get("activation_bytes")
    if saved_by_kind:
        parts |= {f"saved_{kind}": nbytes for kind, nbytes in saved_by_kind.items()}
        unsaved = int(held) - sum(saved_by_kind.values()) if held is not None else 0
        parts |= {"unsaved": unsaved} if unsaved > 0 else {}
    elif held is not None:
        parts["activation_bytes"] = int(held)
    peak = row.get("peak_allocated_bytes")
    if peak is None:
        return parts, 0
    other = int(peak) - sum(parts.values())
    if other > 0:
        parts["other"] = other
    return parts, max(0, -other)


def _by_kind(saved: Tensors) -> dict[str, int]:
    total: Counter[str] = Counter()
    for key, held in saved.items():
        if key.kind != "held_otherwise":
            total[key.kind if key.kind in SAVED else "other"] += held.nbytes
    return dict(total)


def _by_module(saved: Tensors) -> list[HeldByModule]:
    counts: Counter[str] = Counter()
    sizes: defaultdict[str, int] = defaultdict(int)
    for key, held in saved.items():
        counts[key.module] += held.count
        sizes[key.module] += held.nbytes
    found = [HeldByModule(module, counts[module], nbytes) for module, nbytes in sizes.items()]
    return sorted(found, key=lambda each: (-each.nbytes, each.module))


def _left_out(rest: list[tuple[int, int]]) -> tuple[int, int]:
    return sum(count for count, _ in rest), sum(nbytes for _, nbytes in rest)


def _phases(details: Mapping[str, Any]) -> dict[str, tuple[int, int, int]]:
    phases = (details.get("memory") or {}).get("phases", {})
    return {
        phase: (memory["start"]["allocated"], memory["peak"]["allocated"], memory["end"]["allocated"])
        for phase, memory in phases.items()
    }


def _notes(details: Mapping[str, Any]) -> tuple[str, ...]:
    unavailable = (details.get("unavailable") or {}).items()
    return (*map(str, details.get("notes") or ()), *(f"{what}: {why}" for what, why in unavailable))
