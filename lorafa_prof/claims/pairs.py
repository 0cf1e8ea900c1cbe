"""Which cells of a sweep are compared with each other."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.methods.base import METHODS
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
    candidates, others = _sides(chosen, cells, reference)
    return [(cell, _partner(cell, candidates, reference, for_each)) for cell in others]


def candidates_at_equal(
    chosen: Sequence[Cell], cells: Sequence[Cell], reference: Rule
) -> list[tuple[Cell, tuple[Cell, ...]]]:
    """Each of `chosen` with the cells that it may be compared with at equal memory.

    They are those that `reference` selects and that are like it in all else but the options of its method:
    rank, alpha and targets are what memory is spent on.

    Raises:
        PairingError: there is none.
    """
    candidates, others = _sides(chosen, cells, reference)
    return [(cell, _like_but_for_options(cell, candidates, reference)) for cell in others]


def _like_but_for_options(cell: Cell, candidates: Sequence[Cell], reference: Rule) -> tuple[Cell, ...]:
    options = METHODS[cell.method.name].options.model_fields.keys()
    differing = [(other, _differing(cell, other, reference, None)) for other in candidates]
    alike = tuple(other for other, keys in differing if options >= set(keys))
    if not alike:
        keys = min((sorted(set(keys) - options) for _, keys in differing), key=len)
        raise PairingError(
            f"{cell.label} has no cell to be compared with: all differ in {', '.join(keys)} too"
        )
    return alike


def _sides(chosen: Sequence[Cell], cells: Sequence[Cell], reference: Rule) -> tuple[list[Cell], list[Cell]]:
    """The cells to be compared with, and those of `chosen` that are not among them."""
    candidates = [cell for cell in cells if selects(reference, cell)]
    if not candidates:
        raise PairingError("no cell of the scenario matches this")
    left = {cell.cell_id for cell in candidates}
    others = [cell for cell in chosen if cell.cell_id not in left]
    if not others:
        raise PairingError("it selects the very cells that it is compared with")
    return candidates, others


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
