"""Pairing the cells of one run with those of another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lorafa_prof.comparing.sides import Outcome

OutcomePair = tuple[Outcome, Outcome]


@dataclass(frozen=True)
class Pairing:
    """Pairs of one cell of BASE and one of NEW, and the cells that have no partner."""

    pairs: tuple[OutcomePair, ...]
    only_base: tuple[Outcome, ...]
    only_new: tuple[Outcome, ...]


def pair_cells(base: Sequence[Outcome], new: Sequence[Outcome]) -> Pairing:
    """Pair cells by their id, and those that are left by all settings but the device and the GPU.

    Whether two cells of another device or GPU are then compared is not decided here. Where several cells of
    one side are the same but for that, the one of the same GPU is taken, else of the same kind of device;
    where that leaves a choice, none is paired.
    """
    left_base = {outcome.cell.cell_id: outcome for outcome in base}
    left_new = {outcome.cell.cell_id: outcome for outcome in new}
    partners: dict[str, Outcome] = {}
    for key in (_cell_id, _with_gpu, _with_kind, _without_device):
        candidates = _by_key(left_new.values(), key)
        for name, ours in _by_key(left_base.values(), key).items():
            theirs = candidates.get(name, [])
            if len(ours) == len(theirs) == 1:
                (one,), (other,) = ours, theirs
                partners[one.cell.cell_id] = other
                del left_base[one.cell.cell_id], left_new[other.cell.cell_id]
    pairs = tuple((one, partners[one.cell.cell_id]) for one in base if one.cell.cell_id in partners)
    return Pairing(pairs, tuple(left_base.values()), tuple(left_new.values()))


def _by_key(outcomes: Iterable[Outcome], key: Callable[[Outcome], str]) -> dict[str, list[Outcome]]:
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[key(outcome)].append(outcome)
    return groups


def _cell_id(outcome: Outcome) -> str:
    return outcome.cell.cell_id


def _with_gpu(outcome: Outcome) -> str:
    return outcome.cell.model_copy(update={"device": ""}).cell_id


def _with_kind(outcome: Outcome) -> str:
    return outcome.cell.model_copy(update={"device": outcome.kind, "gpu": None}).cell_id


def _without_device(outcome: Outcome) -> str:
    return outcome.cell.model_copy(update={"device": "", "gpu": None}).cell_id
