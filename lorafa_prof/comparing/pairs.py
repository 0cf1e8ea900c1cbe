"""Pairing the cells of one run with those of another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from lorafa_prof.comparing.settings import (
    Settings,
    changed_throughout,
    differing,
    settings_of,
    shared_names,
)
from lorafa_prof.comparing.sides import Outcome

OutcomePair = tuple[Outcome, Outcome]
_Key = Callable[[Outcome], Hashable]

#: So many cells of each side are looked at for the nearest pair.
_MOST_SEEN = 50


@dataclass(frozen=True)
class Pairing:
    """Pairs of one cell of BASE and one of NEW, and the cells that have no partner."""

    pairs: tuple[OutcomePair, ...]
    only_base: tuple[Outcome, ...]
    only_new: tuple[Outcome, ...]


def pair_cells(
    base: Sequence[Outcome], new: Sequence[Outcome], across: frozenset[str] = frozenset()
) -> Pairing:
    """Pair cells by their id, and those that are left by the settings that they have in common.

    First the device and the GPU may differ, then also the settings in `across`, and last also those of which
    no value is in both runs. Whether two cells that differ are then compared is not decided here. Where
    several cells of one side are the same but for that, the one of the same GPU is taken, else of the same
    kind of device; where that leaves a choice, none is paired.
    """
    left_base = {outcome.cell.cell_id: outcome for outcome in base}
    left_new = {outcome.cell.cell_id: outcome for outcome in new}
    partners: dict[str, Outcome] = {}
    for key in _keys(base, new, across):
        candidates = _by_key(left_new.values(), key)
        for name, ours in _by_key(left_base.values(), key).items():
            theirs = candidates.get(name, [])
            if len(ours) == len(theirs) == 1:
                (one,), (other,) = ours, theirs
                partners[one.cell.cell_id] = other
                del left_base[one.cell.cell_id], left_new[other.cell.cell_id]
        if not left_base or not left_new:
            break
    pairs = tuple((one, partners[one.cell.cell_id]) for one in base if one.cell.cell_id in partners)
    return Pairing(pairs, tuple(left_base.values()), tuple(left_new.values()))


def nearest_pair(base: Sequence[Outcome], new: Sequence[Outcome]) -> OutcomePair:
    """Return the pair that differs in the fewest settings, among the first of each side.

    Raises:
        ValueError: one of them is empty.
    """
    ours, theirs = ([(each, settings_of(each.cell)) for each in side[:_MOST_SEEN]] for side in (base, new))
    pairs = [(one, other) for one in ours for other in theirs]
    (one, _), (other, _) = min(pairs, key=lambda pair: len(differing(pair[0][1], pair[1][1])))
    return one, other


def _keys(base: Sequence[Outcome], new: Sequence[Outcome], across: frozenset[str]) -> Iterator[_Key]:
    """Yield by what cells pair, the closest first."""
    yield lambda outcome: outcome.cell.cell_id
    settings = {each.cell.cell_id: settings_of(each.cell) for each in (*base, *new)}
    changed = changed_throughout(*([settings[each.cell.cell_id] for each in side] for side in (base, new)))
    shared = shared_names(settings.values())
    for apart in dict.fromkeys((frozenset[str](), across, across | changed)):
        # Another method has other options: cells of two methods pair by the settings that all have.
        ignored = apart | frozenset(name for each in settings.values() for name in each if name not in shared)
        by_settings = partial(_settings_but, settings, ignored if "method" in apart else apart)
        for place in (_same_place, _same_gpu, _same_kind, _anywhere):
            yield partial(_both, place, by_settings)


def _both(one: _Key, other: _Key, outcome: Outcome) -> Hashable:
    return one(outcome), other(outcome)


def _settings_but(settings: Mapping[str, Settings], apart: frozenset[str], outcome: Outcome) -> Hashable:
    own = settings[outcome.cell.cell_id]
    return tuple((name, repr(own[name])) for name in sorted(own.keys() - apart))


def _by_key(outcomes: Iterable[Outcome], key: _Key) -> dict[Hashable, list[Outcome]]:
    groups: dict[Hashable, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[key(outcome)].append(outcome)
    return groups


def _same_place(outcome: Outcome) -> Hashable:
    return outcome.cell.device, outcome.cell.gpu


def _same_gpu(outcome: Outcome) -> Hashable:
    return outcome.cell.gpu


def _same_kind(outcome: Outcome) -> Hashable:
    return outcome.kind


def _anywhere(outcome: Outcome) -> Hashable:
    return None
