"""Which cells of a sweep are compared with each other."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.scenario.select import Rule, cell_settings, selects

CellPair = tuple[Cell, Cell]

_PLACE = {"device", "gpu"}


class PairingError(ValueError):
    """A cell has nothing, or more than one thing, to be compared with."""


def reference_pairs(
    chosen: Sequence[Cell], cells: Sequence[Cell], reference: Rule, for_each: Sequence[str] | None
) -> list[CellPair]:
    """Each of `chosen` with the one cell that `reference` selects and that is like it in all else.

    "All else" are the settings that `reference` does not name, or with `for_each` just those. A setting that
    means nothing to one of the two (the rank, to full fine-tuning) does not keep them apart. Device and GPU
    are named together: each GPU's twin is a device.

    Raises:
        PairingError: there is no such cell, or more than one.
    """
    candidates = [cell for cell in cells if selects(reference, cell)]
    if not candidates:
        raise PairingError("no cell of the scenario matches this")
    left = {cell.cell_id for cell in candidates}
    pairs = [
        (cell, _partner(cell, candidates, reference, for_each)) for cell in chosen if cell.cell_id not in left
    ]
    if not pairs:
        raise PairingError("it selects the very cells that it is compared with")
    return pairs


def _partner(cell: Cell, candidates: Sequence[Cell], reference: Rule, for_each: Sequence[str] | None) -> Cell:
    differing = {other.cell_id: _differing(cell, other, reference, for_each) for other in candidates}
    alike = [other for other in candidates if not differing[other.cell_id]]
    if len(alike) == 1:
        return alike[0]
    if alike:
        between = sorted({key for other in alike[1:] for key in _differing(alike[0], other, {}, None)})
        raise PairingError(
            f"{cell.label} has {len(alike)} cells to be compared with, which differ in {', '.join(between)}: "
            f"name {'it' if len(between) == 1 else 'them'} here or in for_each"
        )
    closest = min(candidates, key=lambda other: len(differing[other.cell_id]))
    apart = differing[closest.cell_id]
    mine, its = cell_settings(cell), cell_settings(closest)
    told = ", ".join(f"{key} ({mine[key]} and {its[key]})" for key in apart)
    raise PairingError(f"{cell.label} has no cell to be compared with: the closest one differs in {told}")


def _differing(cell: Cell, other: Cell, reference: Rule, for_each: Sequence[str] | None) -> list[str]:
    mine, its = cell_settings(cell), cell_settings(other)
    named = {*reference, *_PLACE} if _PLACE & reference.keys() else set(reference)
    keys = for_each if for_each is not None else [key for key in mine if key not in named]
    return [key for key in keys if key in mine and key in its and mine[key] != its[key]]


def grown_pairs(chosen: Sequence[Cell], axis: str) -> list[CellPair]:
    """Neighbours along `axis` among cells that are alike in all else, the one with less of it first.

    Raises:
        PairingError: `axis` is no number, or no two cells differ in it alone.
    """
    lines: dict[tuple[Any, ...], list[tuple[float, Cell]]] = defaultdict(list)
    for cell in chosen:
        settings = cell_settings(cell)
        at = settings.pop(axis, None)
        if at is None:
            continue
        if isinstance(at, bool) or not isinstance(at, (int, float)):
            raise PairingError(f"'{axis}' is no number, so nothing grows over it")
        lines[tuple(sorted((key, repr(value)) for key, value in settings.items()))].append((at, cell))
    pairs: list[CellPair] = []
    for line in lines.values():
        ordered = [cell for _, cell in sorted(line, key=lambda point: point[0])]
        pairs += itertools.pairwise(ordered)
    if not pairs:
        raise PairingError(f"no two of its cells differ in {axis} alone: growth needs at least two")
    return pairs
