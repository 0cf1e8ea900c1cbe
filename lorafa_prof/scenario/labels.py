"""Short names of cells for people, long enough to tell the cells of one sweep apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from lorafa_prof.cell import Cell


def distinct_labels(cells: Sequence[Cell]) -> dict[str, str]:
    """Return the label of each cell, by its id.

    Where several cells have the same label, the settings in which they differ are added.
    """
    apart = told_apart(cells, lambda cell: cell.label)
    return {cell.cell_id: f"{cell.label} {apart[cell.cell_id]}".rstrip() for cell in cells}


def told_apart(cells: Sequence[Cell], said: Callable[[Cell], Hashable]) -> dict[str, str]:
    """Return, by id, the settings in which a cell differs from those of which the same is `said`.

    They are as ``seed=1 steps.timed=3``; empty for a cell of which nobody else has that said.
    """
    sharing: dict[Hashable, list[Cell]] = defaultdict(list)
    for cell in cells:
        sharing[said(cell)].append(cell)
    apart = {}
    for alike in sharing.values():
        settings = {cell.cell_id: _settings(cell) for cell in alike}
        varying = [
            key
            for key in dict.fromkeys(key for values in settings.values() for key in values)
            if len({str(values.get(key)) for values in settings.values()}) > 1
        ]
        for cell_id, values in settings.items():
            apart[cell_id] = " ".join(f"{key}={values[key]}" for key in varying if key in values)
    return apart


def _settings(cell: Cell) -> dict[str, Any]:
    settings = cell.model_dump(mode="json", exclude={"model": {"name"}, "method": {"name"}})
    model, method = settings.pop("model"), settings.pop("method")
    return dict(_flat({**method["options"], **model, **settings}, ""))


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
