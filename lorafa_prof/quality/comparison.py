"""Methods against each other, by runs of the same seed: at equal settings, and at equal memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lorafa_prof.quality.group import Group
from lorafa_prof.quality.interval import Interval, interval_of
from lorafa_prof.quality.measures import QUALITY, TRAIN_SECONDS, mean_of, pairs_by_seed
from lorafa_prof.quality.weighing import WITHIN, nearest_in_memory

At = Literal["equal settings", "equal memory"]

#: A method, and that which people want it compared with.
_COMPARED = (
    ("lora-fa", "lora"),
    ("lora-fa", "lora-fa-uncorrected"),
    ("lora-fa", "full-ft"),
    ("lora", "full-ft"),
    ("peft-lora-fa", "peft-lora"),
)
#: By these adapters spend memory; where it is to be equal they may differ.
_SPENDING = ("rank", "targets")


@dataclass(frozen=True)
class Comparison:
    """A group against another one.

    Attributes:
        at: what of the two is equal.
        quality: by how many points of 100 the first is better.
        peak, seconds: the first's over the other's; None where one is not known.
    """

    group: Group
    other: Group
    at: At
    quality: Interval
    peak: float | None
    seconds: float | None


def comparisons(groups: Sequence[Group]) -> list[Comparison]:
    """Compare each group with those of the method that it is compared with, in the order given.

    At equal settings it is the one group that is alike in all settings that both have: of several, as with
    settings that have no column, none is. At equal memory it is the nearest, if that is another.
    """
    found = []
    for method, base in _COMPARED:
        for group in groups:
            if group.settings.get("method") != method or not group.runs:
                continue
            others = [
                o for o in groups if o.settings.get("method") == base and o.task == group.task and o.runs
            ]
            alike = [other for other in others if _alike(group, other)]
            if len(alike) == 1:
                found += _compared(group, alike[0], "equal settings")
            spending = [other for other in others if _alike(group, other, _SPENDING)]
            nearest = nearest_in_memory(group, spending)
            if nearest and nearest[1] <= WITHIN and nearest[0] not in alike:
                found += _compared(group, nearest[0], "equal memory")
    return found


def _alike(group: Group, other: Group, but_for: Sequence[str] = ()) -> bool:
    mine, its = group.settings, other.settings
    left_out = {"cell_id", "method", *but_for}
    return all(mine[name] == its[name] for name in (mine.keys() & its.keys()) - left_out)


def _compared(group: Group, other: Group, at: At) -> list[Comparison]:
    """The comparison, if both have a quality of the same seeds."""
    pairs = pairs_by_seed(group, other, QUALITY)
    if not pairs:
        return []
    quality = interval_of([one - base for one, base in pairs])
    peak = _ratio(group.peak_allocated_bytes, other.peak_allocated_bytes)
    seconds = _ratio(_mean_seconds(group), _mean_seconds(other))
    return [Comparison(group, other, at, quality, peak, seconds)]


def _mean_seconds(group: Group) -> float | None:
    found = mean_of(group, TRAIN_SECONDS)
    return None if found is None else found.mean


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None
