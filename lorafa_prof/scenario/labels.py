"""Short names of cells for people, long enough to tell the cells of one sweep apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lorafa_prof.cell import Cell


def distinct_labels(cells: Sequence[Cell]) -> dict[str, str]:
    """Return the label of each cell, by its id.

    Where several cells have the same label, the settings in which they differ are added.
    """
    sharing: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        sharing[cell.label].append(cell)
    labels = {}
    for label, alike in sharing.items():
        settings = {cell.cell_id: _settings(cell) for cell in alike}
        varying = [
            key
            for key in dict.fromkeys(key for values in settings.values() for key in values)
            if len({str(values.get(key)) for values in settings.values()}) > 1
        ]
        for cell_id, values in settings.items():
            labels[cell_id] = " ".join([label, *(f"{key}={values[key]}" for key in varying if key in values)])
    return labels


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
