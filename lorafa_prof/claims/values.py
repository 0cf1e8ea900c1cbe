"""The values that a rule of a claim lists: each must be one that some cell has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lorafa_prof.cell import Cell, device_kind, twin_gpu
from lorafa_prof.devices.gpus.gpu import meant_gpu
from lorafa_prof.registry import nearest
from lorafa_prof.scenario.one_or_many import as_list
from lorafa_prof.scenario.schema import AXES
from lorafa_prof.scenario.select import Rule, cell_settings, selects
from lorafa_prof.scenario.yaml_lines import Document
from lorafa_prof.words.phrases import first_of

_MOST_NAMED = 5
_DEVICES = ("auto", "cuda", "cpu")


@dataclass(frozen=True)
class Unmatched:
    """A value that selects nothing.

    Attributes:
        key: of the rule.
        index: of the value in the key's list; None where it is no list.
        message: what is wrong, and which value is near.
    """

    key: str
    index: int | None
    message: str


def unmatched_values(rule: Rule, cells: Sequence[Cell], document: Document) -> Iterator[Unmatched]:
    """The values of `rule` that no cell has, or none that the whole rule selects.

    A device or GPU that there is counts as matched, and so does what an option of the command line may have
    taken away: on another machine, or overridden, a scenario has other cells.
    """
    overridden = {part for path in document.replaced for part in path}
    selected = [cell for cell in cells if selects(rule, cell)]
    for key, written in rule.items():
        for index, value in enumerate(as_list(written)):
            place = index if isinstance(written, list) else None
            if _may_be_elsewhere(key, value, overridden):
                continue
            if not any(selects({key: value}, cell) for cell in cells):
                yield Unmatched(key, place, f"no cell has {value!r}{_near(key, value, cells)}")
            elif selected and not overridden and not any(selects({key: value}, cell) for cell in selected):
                yield Unmatched(key, place, f"no cell that the rest of this selects has {value!r}")


def _may_be_elsewhere(key: str, value: Any, overridden: set[str | int]) -> bool:
    if key == "gpu":
        return meant_gpu(str(value)) is not None
    if key == "device":
        gpu = twin_gpu(str(value))
        return meant_gpu(gpu) is not None if gpu is not None else device_kind(str(value)) in _DEVICES
    # Another method may have other options.
    return key in overridden or ("method" in overridden and key not in AXES)


def _near(key: str, value: Any, cells: Sequence[Cell]) -> str:
    known = list(dict.fromkeys(settings[key] for cell in cells if key in (settings := cell_settings(cell))))
    if not known:
        return ", nor any other value: nothing here is set by this key"
    numbers = [each for each in known if _is_number(each)]
    if numbers and _is_number(value):
        return f" (the nearest is {min(numbers, key=lambda each: abs(each - value))})"
    texts = [str(each) for each in known]
    return nearest(str(value), texts) or f"; they have {first_of(texts, _MOST_NAMED)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
