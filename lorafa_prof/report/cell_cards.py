"""What the cards of a cell on the page say beside its row: its record, brought down to what people read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lorafa_prof.explaining.composition import Piece
from lorafa_prof.explaining.from_record import recorded_pieces
from lorafa_prof.explaining.names import tensor_name
from lorafa_prof.explaining.reasons import uses

#: A cell of a large model has some thirty kinds of tensors and a dozen modules; the rest is counted.
MOST_TENSORS = 12
MOST_MODULES = 12


class TensorRow(NamedTuple):
    """Equal tensors of like modules.

    Attributes:
        what: type and shape, "bf16[2×1024×4096]".
        line: of the code that had the first of them saved.
        why: what backward needs them for; empty where the record does not know it.
    """

    kind: str
    module: str
    what: str
    tensors: int
    nbytes: int
    line: str
    why: tuple[str, ...]


class ModuleRow(NamedTuple):
    """All that the modules of one path have saved, layers taken together."""

    module: str
    tensors: int
    nbytes: int


@dataclass(frozen=True)
class CellCards:
    """What the record of a cell explains of its row; all sizes in bytes.

    Attributes:
        tensors, modules: the largest first.
        tensors_left_out, modules_left_out: how many more there are, and their bytes.
        phases: allocated at the start of each phase, at its peak and at its end.
        flops: operations by phase.
        notes: what the reader of the row must know, and what this machine could not tell.
    """

    tensors: tuple[TensorRow, ...]
    tensors_left_out: tuple[int, int]
    modules: tuple[ModuleRow, ...]
    modules_left_out: tuple[int, int]
    phases: Mapping[str, tuple[int, int, int]]
    flops: Mapping[str, int]
    notes: tuple[str, ...]


def cell_cards(details: Mapping[str, Any]) -> CellCards:
    """The cards of a cell by the details of its record.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: the details are not as this version writes them.
    """
    pieces = recorded_pieces(details)
    tensors, modules = _tensor_rows(pieces), _module_rows(pieces)
    more_tensors, more_modules = tensors[MOST_TENSORS:], modules[MOST_MODULES:]
    return CellCards(
        tensors=tuple(tensors[:MOST_TENSORS]),
        tensors_left_out=(sum(row.tensors for row in more_tensors), sum(row.nbytes for row in more_tensors)),
        modules=tuple(modules[:MOST_MODULES]),
        modules_left_out=(len(more_modules), sum(row.nbytes for row in more_modules)),
        phases=_phases(details),
        flops=dict((details.get("flops") or {}).get("by_phase", {})),
        notes=_notes(details),
    )


def _tensor_rows(pieces: Sequence[Piece]) -> list[TensorRow]:
    return [
        TensorRow(
            piece.key.kind,
            piece.key.module,
            tensor_name(piece.key),
            piece.count,
            piece.nbytes,
            piece.line,
            tuple(uses(piece.needs, piece.key)),
        )
        for piece in sorted(pieces, key=lambda piece: (-piece.nbytes, piece.key))
        if piece.nbytes
    ]


def _module_rows(pieces: Sequence[Piece]) -> list[ModuleRow]:
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for piece in pieces:
        counts[piece.key.module] += piece.count
        sizes[piece.key.module] += piece.nbytes
    rows = [ModuleRow(module, counts[module], nbytes) for module, nbytes in sizes.items()]
    return sorted(rows, key=lambda row: (-row.nbytes, row.module))


def _phases(details: Mapping[str, Any]) -> dict[str, tuple[int, int, int]]:
    phases = (details.get("memory") or {}).get("phases", {})
    return {
        phase: (memory["start"]["allocated"], memory["peak"]["allocated"], memory["end"]["allocated"])
        for phase, memory in phases.items()
    }


def _notes(details: Mapping[str, Any]) -> tuple[str, ...]:
    unavailable = (details.get("unavailable") or {}).items()
    return (*map(str, details.get("notes") or ()), *(f"{what}: {why}" for what, why in unavailable))
