"""The memory of a step as a tree, from what is in use on the device down to single tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lorafa_prof.explaining.composition import Composition, Piece
from lorafa_prof.explaining.explanation import Explanation
from lorafa_prof.explaining.names import (
    dtype_name,
    moment_name,
    operation_name,
    short_module,
    state_name,
    tensor_name,
)
from lorafa_prof.parts import PART_KEYS, PARTS, SAVED_PARTS, PartKey

_UNEXPLAINED = PARTS["unexplained"].name


@dataclass(frozen=True)
class Branch:
    """An amount and what it is made of: the branches, if there are any, sum to it.

    Attributes:
        name: short.
        nbytes: how much; below zero only of what is unexplained.
        note: what the name means.
        level: "memory" above the allocated bytes, then "total", "part", "group" and "piece".
    """

    name: str
    nbytes: int
    note: str = ""
    level: str = "group"
    branches: tuple[Branch, ...] = ()


def memory_tree(explanation: Explanation) -> Branch | None:
    """All that is in use on the device, as far as it is known; None where nothing is."""
    peak = explanation.peak
    if peak is None:
        return None
    moment = f", {moment_name(peak.place)}" if peak.place else ""
    name = f"allocated at the peak (peak_allocated_bytes){moment}"
    allocated = composition_tree(peak, name)
    if explanation.reserved_bytes is None:
        return allocated
    reserved = Branch(
        "reserved by PyTorch (peak_reserved_bytes)",
        explanation.reserved_bytes,
        "at most, over the whole run",
        "memory",
        (allocated, *_cached(explanation, peak)),
    )
    if explanation.context_bytes is None:
        return reserved
    context = Branch(
        "CUDA context", explanation.context_bytes, "kernels and libraries, outside of PyTorch", "memory"
    )
    would = explanation.predicted is not None and explanation.predicted.ran_out is not None
    return Branch(
        "it would take on the GPU" if would else "in use on the GPU",
        reserved.nbytes + context.nbytes,
        "about what nvidia-smi shows",
        "memory",
        (reserved, context),
    )


def _cached(explanation: Explanation, peak: Composition) -> Iterator[Branch]:
    """What the allocator has reserved beyond what is allocated at the peak."""
    assert explanation.reserved_bytes is not None
    left = explanation.reserved_bytes - peak.total_bytes
    if explanation.predicted is not None and peak.reserved_bytes is not None:
        then = peak.reserved_bytes - explanation.predicted.peak.total_bytes
        later = explanation.predicted.peak_reserved_bytes - peak.reserved_bytes
        yield Branch("free in the allocator then", then, "its cache, and gaps between blocks", "memory")
        if later:
            yield Branch("reserved at another moment", later, "when less was allocated", "memory")
        if left - then - later:
            yield Branch(f"{_UNEXPLAINED}, reserved", left - then - later, "", "memory")
    else:
        yield Branch("free in the allocator", left, "its cache, and gaps between blocks", "memory")


def composition_tree(composition: Composition, name: str) -> Branch:
    """The parts of an amount, their groups, and the pieces of these."""
    parts = [
        Branch(PARTS[key].name, _sum(pieces), PARTS[key].meaning, "part", tuple(_groups(key, pieces)))
        for key in PART_KEYS
        if (pieces := composition.of(key))
    ]
    if composition.rounding_bytes:
        rounding = PARTS["rounding"]
        parts.append(Branch(rounding.name, composition.rounding_bytes, rounding.meaning, "part"))
    # Also where it is nothing: that it is nothing is what a reader wants to know.
    parts.append(Branch(_UNEXPLAINED, composition.unexplained_bytes, "", "part"))
    return Branch(name, composition.total_bytes, "", "total", tuple(parts))


def _groups(part: PartKey, pieces: Sequence[Piece]) -> Iterator[Branch]:
    grouped: dict[str, list[Piece]] = defaultdict(list)
    for piece in pieces:
        grouped[_GROUP_NAMES.get(part, _by_operation)(piece)].append(piece)
    for name, alike in sorted(grouped.items(), key=lambda group: -_sum(group[1])):
        leaves = tuple(Branch(piece_name(piece), piece.nbytes, "", "piece") for piece in alike)
        kind = SAVED_PARTS.get(alike[0].key.kind) if part == "saved" else None
        yield Branch(name, _sum(alike), kind.meaning if kind else "", "group", leaves)


def piece_name(piece: Piece) -> str:
    """Where it is and what: ``layers.*.mlp: 64 × bf16[8×1024×11008]``."""
    key = piece.key
    leaf = f".{key.op}" if piece.part in ("weights", "gradients", "optimizer") and key.op else ""
    where = f"{short_module(key.module) or '(the model itself)'}{leaf}"
    tensor = tensor_name(key)
    return f"{where}: {piece.count} × {tensor}" if tensor else f"{where}: {piece.count}"


def _by_role(piece: Piece) -> str:
    return ", ".join(word for word in (piece.key.kind, dtype_name(piece.key.dtype)) if word) or "all"


def _by_dtype(piece: Piece) -> str:
    return dtype_name(piece.key.dtype) or "all"


def _by_state(piece: Piece) -> str:
    return (
        ", ".join(word for word in (state_name(piece.key.kind), dtype_name(piece.key.dtype)) if word) or "all"
    )


def _by_kind(piece: Piece) -> str:
    kind = SAVED_PARTS.get(piece.key.kind)
    return kind.name if kind else piece.key.kind


def _by_operation(piece: Piece) -> str:
    module = short_module(piece.key.module)
    what = operation_name(piece.key.op) if piece.key.op else ""
    dtype = f", {dtype_name(piece.key.dtype)}" if piece.key.dtype else ""
    return f"{what}{dtype}{f' in {module}' if module else ''}" or "all"


_GROUP_NAMES: dict[PartKey, Callable[[Piece], str]] = {
    "weights": _by_role,
    "gradients": _by_dtype,
    "inputs": _by_dtype,
    "optimizer": _by_state,
    "saved": _by_kind,
}


def _sum(pieces: Iterable[Piece]) -> int:
    return sum(piece.nbytes for piece in pieces)
