"""The needs of saved tensors in a cell's record, written once for equal tensors of like modules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from lorafa_prof.instruments.saved.needs import Need
from lorafa_prof.instruments.saved.recorder import SavedStorage
from lorafa_prof.results.tensors import TensorKey
from lorafa_prof.words.module_paths import like_modules


def like_need(need: Need) -> Need:
    """Return the need with ``*`` in the place of layers' numbers."""
    names = tuple(dict.fromkeys(map(like_modules, need.gradients_of)))
    return replace(need, module=like_modules(need.module), gradients_of=names)


def key_of(storage: SavedStorage) -> TensorKey:
    """Return the key that a saved storage shares with those of other layers."""
    return TensorKey(like_modules(storage.module), storage.kind, storage.op, storage.dtype, storage.shape)


def needs_records(storages: Iterable[SavedStorage]) -> list[dict[str, Any]]:
    """Return the needs as values for JSON: for each `TensorKey` that has needs, its fields and ``needs``."""
    needs_by_key: dict[TensorKey, dict[Need, None]] = {}
    for storage in storages:
        for need in storage.needs:
            needs_by_key.setdefault(key_of(storage), {})[like_need(need)] = None
    return [{**asdict(key), "needs": [asdict(need) for need in needs]} for key, needs in needs_by_key.items()]


def recorded_needs(details: Mapping[str, Any]) -> dict[TensorKey, tuple[Need, ...]]:
    """Return the needs in the details of a record, by key; empty if none were recorded."""
    return {
        TensorKey(
            record["module"], record["kind"], record["op"], record["dtype"], tuple(record["shape"])
        ): tuple(
            Need(need["module"], need["op"], need["slot"], tuple(need["gradients_of"]))
            for need in record["needs"]
        )
        for record in (details.get("saved") or {}).get("needs", ())
    }
