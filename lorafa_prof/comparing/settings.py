"""The settings that tell two cells apart, and what of them one run has otherwise than another throughout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.scenario.select import cell_settings, selectable_keys

Settings = Mapping[str, Any]

#: Where a cell ran: told by `comparable`, since the twin of a GPU stands for that GPU.
PLACE = frozenset({"device", "gpu"})
_OF_THE_WHOLE_SCENARIO = ("seed", "steps")


def setting_names() -> frozenset[str]:
    """Return the name of every setting that two cells may differ in, but for where they run."""
    return frozenset({*selectable_keys(), *_OF_THE_WHOLE_SCENARIO}) - PLACE


def settings_of(cell: Cell) -> dict[str, Any]:
    """Return the settings of `cell` by the keys of a scenario, but for where it runs."""
    whole = cell.model_dump(mode="json", include=set(_OF_THE_WHOLE_SCENARIO))
    return {name: value for name, value in {**cell_settings(cell), **whole}.items() if name not in PLACE}


def differing(one: Settings, other: Settings) -> list[str]:
    """Return the names of settings that both have and that differ, in the order of `one`.

    What means nothing to one of the two, as the rank does to full fine-tuning, does not keep them apart.
    """
    return [name for name in one if name in other and one[name] != other[name]]


def shared_names(several: Iterable[Settings]) -> frozenset[str]:
    """Return the names that all of `several` have; none of none."""
    names = [frozenset(settings) for settings in several]
    return frozenset.intersection(*names) if names else frozenset()


def changed_throughout(base: Sequence[Settings], new: Sequence[Settings]) -> frozenset[str]:
    """Return the names of settings of which no value is on both sides, though all cells have them."""
    return frozenset(
        name
        for name in shared_names([*base, *new])
        if not {repr(settings[name]) for settings in base} & {repr(settings[name]) for settings in new}
    )
