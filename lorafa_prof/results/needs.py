"""What saved tensors are needed for, in a cell's record: once for equal tensors of like modules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from lorafa_prof.instruments.saved.needs import Need
from lorafa_prof.instruments.saved.recorder import SavedStorage
from lorafa_prof.results.tensors import TensorKey, like_modules


def like_need(need: Need) -> Need:
    """The need with the numbers of layers as ``*``."""
    names = tuple(dict.fromkeys(map(like_modules, need.gradients_of)))
    return replace(need, module=like_modules(need.module), gradients_of=names)


def key_of(storage: SavedStorage) -> TensorKey:
    """What makes it the same as those of other layers."""
    return TensorKey(like_modules(storage.module), storage.kind, storage.op, storage.dtype, storage.shape)


def needs_records(storages: Iterable[SavedStorage]) -> list[dict[str, Any]]:
    """For JSON: of each `TensorKey` that has needs its values, and ``needs``."""
    found: dict[TensorKey, dict[Need, None]] = {}
    for storage in storages:
        for need in storage.needs:
            found.setdefault(key_of(storage), {})[like_need(need)] = None
    return [{**asdict(key), "needs": [asdict(need) for need in needs]} for key, needs in found.items()]


def recorded_needs(details: Mapping[str, Any]) -> dict[TensorKey, tuple[Need, ...]]:
    """The needs in the details of a record; empty where none were read."""
    return {
        TensorKey(each["module"], each["kind"], each["op"], each["dtype"], tuple(each["shape"])): tuple(
            Need(need["module"], need["op"], need["slot"], tuple(need["gradients_of"]))
            for need in each["needs"]
        )
        for each in (details.get("saved") or {}).get("needs", ())
    }
