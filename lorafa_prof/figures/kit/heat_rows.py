"""The rows that heat maps of several cells have in common: modules, few enough to read, and their labels."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lorafa_prof.figures.kit.layer_bytes import LayerBytes, Module, merged

_MOST_ROWS = 20


@dataclass(frozen=True)
class HeatRows:
    """Modules from top to bottom, and the number of layers.

    `rest` are modules with fewer bytes, together one row below the others.
    """

    modules: tuple[Module, ...]
    rest: tuple[Module, ...]
    layers: int

    @property
    def count(self) -> int:
        """Rows."""
        return len(self.modules) + bool(self.rest)

    def values(self, held: LayerBytes) -> NDArray[np.float64]:
        """A cell's bytes, row by row, layer by layer; NaN where nothing is saved."""
        groups = [*([module] for module in self.modules), *([self.rest] if self.rest else [])]
        return np.array([self._row(held, group) for group in groups])

    def _row(self, held: LayerBytes, modules: Sequence[Module]) -> list[float]:
        sums = (
            sum(held.by_module.get(module, {}).get(layer, 0) for module in modules)
            for layer in range(self.layers)
        )
        return [float(value) if value else math.nan for value in sums]

    def labels(self, width: Callable[[str], float], most: float) -> list[str]:
        """A name for each row, at most `most` wide as `width` measures it.

        Names have the stack in front where there are several, as in T5.
        """
        several = len({module.stack for module in (*self.modules, *self.rest)}) > 1
        names = [_name(module, several) for module in self.modules]
        return [*(_short(name, width, most) for name in names), *self._rest_label()]

    def _rest_label(self) -> list[str]:
        return [f"{len(self.rest)} other modules"] if self.rest else []


def heat_rows(cells: Sequence[LayerBytes]) -> HeatRows:
    """The rows for these cells: all modules, or those with the most bytes in any one cell."""
    modules = merged(list(cell.by_module) for cell in cells)
    most = {module: max(sum(cell.by_module.get(module, {}).values()) for cell in cells) for module in modules}
    largest = sorted(modules, key=lambda module: -most[module])
    shown = set(modules if len(modules) <= _MOST_ROWS else largest[: _MOST_ROWS - 1])
    layers = 1 + max(max(held) for cell in cells for held in cell.by_module.values())
    return HeatRows(
        tuple(module for module in modules if module in shown),
        tuple(module for module in modules if module not in shown),
        layers,
    )


def _name(module: Module, several: bool) -> str:
    inner = module.inner or "(the layer itself)"
    return f"{module.stack.split('.')[0]} {inner}" if several else inner


def _short(name: str, width: Callable[[str], float], most: float) -> str:
    """The name with parts from its middle left out, the longest first, until it is short enough."""
    parts = name.split(".")
    while width(_joined(parts)) > most:
        middle = [index for index in range(1, len(parts) - 1) if parts[index]]
        if not middle:
            return _cut(_joined(parts), width, most)
        parts[max(middle, key=lambda index: len(parts[index]))] = ""
    return _joined(parts)


def _joined(parts: Sequence[str]) -> str:
    """The parts with dots between them, an ellipsis for those that were left out."""
    return re.sub(r"\.{2,}", "…", ".".join(parts))


def _cut(name: str, width: Callable[[str], float], most: float) -> str:
    while width(f"{name}…") > most:
        name = name[:-1]
    return f"{name}…"
