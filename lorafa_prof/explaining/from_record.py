"""What a row and a record tell of a step's memory, where no twin can be asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lorafa_prof.explaining.composition import Composition, Piece, together
from lorafa_prof.parts import PartKey
from lorafa_prof.results.needs import recorded_needs
from lorafa_prof.results.tensors import TensorKey, saved_tensors

Values = Mapping[str, Any]
_ALWAYS_THERE: tuple[PartKey, ...] = ("weights", "optimizer")


def recorded_peak(row: Values, details: Values) -> Composition | None:
    """The peak, of which the weights, the optimizer's state and the batch are always a part."""
    if row.get("peak_allocated_bytes") is None:
        return None
    sizes = {part: row.get(f"{part}_bytes") for part in _ALWAYS_THERE}
    sizes["inputs"] = (details.get("memory") or {}).get("inputs_bytes")
    pieces = [Piece(part, TensorKey("", ""), 1, size) for part, size in sizes.items() if size]
    return Composition(row["peak_allocated_bytes"], together(pieces), 0)


def recorded_activation(row: Values, details: Values) -> Composition | None:
    """What forward leaves for backward, by the tensors that autograd was seen to save."""
    if row.get("activation_bytes") is None:
        return None
    rounding = (details.get("reconciliation") or {}).get("slack_bytes", 0)
    return Composition(row["activation_bytes"], together(recorded_pieces(details)), rounding)


def recorded_pieces(details: Values) -> list[Piece]:
    """The tensors that autograd was seen to save, and what forward was seen to hold otherwise."""
    needs = recorded_needs(details)
    return [
        Piece(
            "held" if key.kind == "held_otherwise" else "saved",
            key,
            held.count,
            held.nbytes,
            held.line,
            needs.get(key, ()),
        )
        for key, held in (saved_tensors(details) or {}).items()
    ]
