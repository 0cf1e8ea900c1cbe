"""Which settings of cells differ, which they share, and how both are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.methods.base import METHODS
from lorafa_prof.parallel.shard import Shard
from lorafa_prof.results.row import method_label
from lorafa_prof.scenario.schema import Axes
from lorafa_prof.scenario.select import cell_settings

#: Told even at their defaults, and before all others.
ALWAYS = ("model", "gpu", "method", "rank", "batch", "seq")
#: What follows from others of them.
_FOLLOWING = ("device", "weights", "trust_remote_code")


@dataclass(frozen=True)
class Settings:
    """The settings of several cells, as text by the keys of a scenario.

    Attributes:
        shared: by all that have them; those at their defaults are left out but for the most important.
        varying: keys of the others.
        of_each: the values of `varying`, for each cell; a dash where its method has no such thing.
    """

    shared: dict[str, str]
    varying: tuple[str, ...]
    of_each: list[tuple[str, ...]]


def settings_of(cells: Sequence[Cell]) -> Settings:
    """What `cells` share, and in what they differ."""
    texts = [_texts(cell) for cell in cells]
    keys = dict.fromkeys((*ALWAYS, *(key for each in texts for key in each)))
    values = {key: dict.fromkeys(each[key] for each in texts if key in each) for key in keys}
    varying = tuple(key for key, found in values.items() if len(found) > 1)
    shared = {
        key: next(iter(found))
        for key, found in values.items()
        if len(found) == 1 and (key in ALWAYS or not all(_is_default(cell, key) for cell in cells))
    }
    return Settings(shared, varying, [tuple(each.get(key, "-") for key in varying) for each in texts])


def _texts(cell: Cell) -> dict[str, str]:
    settings = {key: value for key, value in cell_settings(cell).items() if key not in _FOLLOWING}
    return {key: text(value) for key, value in {**settings, "method": method_label(cell)}.items()}


def text(value: Any) -> str:
    """A value as a scenario has it, about."""
    if isinstance(value, Shard):
        return value.text or "default"
    if isinstance(value, (list, tuple)):
        return ",".join(map(text, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_default(cell: Cell, key: str) -> bool:
    """Whether a setting says nothing that would not be so anyway."""
    if key == "adapter_dtype":
        return cell.adapter_dtype == cell.dtype
    if key in Axes.model_fields:
        default = Axes.model_fields[key].default
        return bool(getattr(cell, key) == (default[0] if isinstance(default, list) else default))
    field = METHODS[cell.method.name].options.model_fields.get(key)
    # An option that came later and is at its default is left out of the cell.
    return field is None or cell.method.options.get(key, field.default) == field.default
