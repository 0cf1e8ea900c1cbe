"""Choosing the linear maps that get an adapter, and saying which of those cannot have one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.linear_maps import LinearMap, linear_maps
from lorafa_prof.registry import nearest
from lorafa_prof.words.module_paths import like_modules
from lorafa_prof.words.phrases import count

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: What `targets` may be instead of names.
ALL_LINEAR = "all-linear"
ATTENTION = "attention"

Targets = dict[str, LinearMap]
RankAt = Callable[[str, int], int]


def below_attention(model: nn.Module, path: str) -> bool:
    """Return whether a module around what is at `path` has "Attention" in the name of its class."""
    parts = path.split(".")
    parents = (".".join(parts[:depth]) for depth in range(1, len(parts)))
    return any("Attention" in type(model.get_submodule(parent)).__name__ for parent in parents)


def find_targets(model: PreTrainedModel, targets: str) -> Targets:
    """Return the maps that `targets` selects, by path, those that can have no adapter among them.

    Args:
        model: a transformers model without adapters.
        targets: ``all-linear``, ``attention``, or names divided by commas, each matching the end of a path
            ("q_proj,v_proj").

    Raises:
        UsageError: a name matches nothing; the message has the nearest known one.
    """
    maps = linear_maps(model)
    if targets in (ALL_LINEAR, ATTENTION):
        return {
            path: found
            for path, found in maps.items()
            if not found.by_name and (targets == ALL_LINEAR or below_attention(model, path))
        }
    chosen: set[str] = set()
    for wanted in targets.split(","):
        matching = {path for path in maps if f".{path}".endswith(f".{wanted}")}
        if not matching:
            known = sorted({path.rsplit(".", 1)[-1] for path in maps})
            raise UsageError(
                f"no linear layer is called '{wanted}'{nearest(wanted, known)}; "
                f"this model has {', '.join(known)}",
                about="targets",
            )
        chosen |= matching
    return {path: found for path, found in maps.items() if path in chosen}


def adaptable(targets: Targets, rank_at: RankAt) -> tuple[Targets, Targets]:
    """Return those of `targets` that can have an adapter of their rank; and the others, with the reason.

    Args:
        targets: by path.
        rank_at: gives the rank of the adapter at a path, on so many matrices in one.

    Raises:
        UsageError: none can.
    """
    judged = {path: _judged(found, rank_at(path, found.matrices)) for path, found in targets.items()}
    able = {path: found for path, found in judged.items() if found.obstacle is None}
    if not able:
        raise _none_is_able(targets, judged, rank_at)
    return able, {path: found for path, found in judged.items() if found.obstacle is not None}


def _judged(found: LinearMap, rank: int) -> LinearMap:
    smaller = min(found.in_features, found.out_features)
    if found.obstacle is None and rank > smaller:
        return replace(found, obstacle=f"rank {rank} is above its smaller side, {smaller}")
    return found


def _none_is_able(targets: Targets, judged: Targets, rank_at: RankAt) -> UsageError:
    if not targets:
        return UsageError("this model has no linear layer of these targets", about="targets")
    too_small = {path: found for path, found in targets.items() if found.obstacle is None}
    if not too_small:
        return UsageError(f"no target can have an adapter: {in_words(judged)}", about="targets")
    path, largest = max(too_small.items(), key=lambda item: _most(item[1]))
    sides = f"{largest.in_features} to {largest.out_features}"
    return UsageError(
        f"rank {rank_at(path, 1)} is larger than layer '{path}' ({sides}); at most {_most(largest)}",
        about="rank",
    )


def _most(found: LinearMap) -> int:
    return min(found.in_features, found.out_features) // found.matrices


def in_words(left_out: Targets) -> str:
    """Return which maps these are, how large, and why they are left out; those of all layers as one."""
    alike: dict[tuple[str, str], list[LinearMap]] = defaultdict(list)
    for path, found in left_out.items():
        alike[like_modules(path), found.obstacle or ""].append(found)
    return "; ".join(
        f"{path} ({count(len(maps), 'weight')}, {sum(m.weight.numel() for m in maps):,} parameters): {why}"
        for (path, why), maps in alike.items()
    )
