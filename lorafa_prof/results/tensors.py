"""Which saved tensors make a difference: those of a cell's record, equal ones of like modules as one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

_LAYER = re.compile(r"(?<=\.)\d+(?=\.|$)|^\d+(?=\.|$)")


def like_modules(path: str) -> str:
    """A module's path with the numbers of layers as ``*``: ``layers.*.self_attn.q_proj``."""
    return _LAYER.sub("*", path)


def layer_of(path: str) -> str:
    """The layer that a module is in, by its path: ``layers.3``; empty where it is in none."""
    names = path.split(".")
    number = next((index for index, name in enumerate(names) if name.isdecimal()), -1)
    return ".".join(names[: number + 1])


@dataclass(frozen=True, order=True)
class TensorKey:
    """What makes two saved tensors the same: where and by what they were saved, what kind, type and shape.

    `kind` is one of `parts.SAVED_KINDS`, or for bytes that no saved tensor is: ``weights``, ``gradients``,
    ``optimizer``, ``held_otherwise``; those have neither operation nor shape.
    """

    module: str
    kind: str
    op: str = ""
    dtype: str = ""
    shape: tuple[int, ...] = ()

    def __str__(self) -> str:
        shape = "×".join(map(str, self.shape))
        what = f"{self.kind} {self.dtype}{f'[{shape}]' if shape else ''}".strip()
        return f"{self.module or '(no module)'}: {what}" if self.op or self.module else what


@dataclass(frozen=True)
class Held:
    """How many storages of one key there are, their bytes together, and the line that saved the first."""

    count: int
    nbytes: int
    line: str = ""


Tensors = dict[TensorKey, Held]


@dataclass(frozen=True)
class TensorChange:
    """What became of the tensors of one key."""

    key: TensorKey
    before: Held
    after: Held

    @property
    def delta_bytes(self) -> int:
        """Bytes more than before."""
        return self.after.nbytes - self.before.nbytes


def saved_tensors(details: Mapping[str, Any]) -> Tensors | None:
    """The saved tensors in the details of a cell's record, without what was there before the step.

    None where they were not recorded.
    """
    saved = details.get("saved")
    if saved is None:
        return None
    storages = [
        (
            TensorKey(
                like_modules(storage["module"]),
                storage["kind"],
                storage["op"],
                storage["dtype"],
                tuple(storage["shape"]),
            ),
            Held(1, storage["nbytes"], storage.get("line", "")),
        )
        for storage in saved["storages"]
        if not storage["from_before"]
    ]
    otherwise = [
        (TensorKey(like_modules(held["module"]), "held_otherwise"), Held(1, held["nbytes"]))
        for held in saved["held_otherwise"]
    ]
    return _together([*storages, *otherwise])


#: Kinds of bytes that are not saved in forward.
STATIC_KINDS = ("weights", "gradients", "optimizer")


def static_tensors(row: Mapping[str, Any]) -> Tensors:
    """Weights, gradients and optimizer state as a row has them."""
    sizes = {name: row.get(f"{name}_bytes") for name in STATIC_KINDS}
    return {TensorKey("", name): Held(1, size) for name, size in sizes.items() if size}


def _together(found: Iterable[tuple[TensorKey, Held]]) -> Tensors:
    groups: dict[TensorKey, list[Held]] = defaultdict(list)
    for key, held in found:
        groups[key].append(held)
    return {
        key: replace(alike[0], count=len(alike), nbytes=sum(held.nbytes for held in alike))
        for key, alike in groups.items()
    }


def changes(before: Tensors, after: Tensors) -> list[TensorChange]:
    """Keys whose bytes are not the same, the largest growth first, what shrank last."""
    nothing = Held(0, 0)
    found = [
        TensorChange(key, before.get(key, nothing), after.get(key, nothing)) for key in {**before, **after}
    ]
    return sorted((c for c in found if c.delta_bytes), key=lambda c: (-c.delta_bytes, c.key))


def largest(tensors: Tensors) -> list[TensorChange]:
    """All tensors as a change from nothing, largest first."""
    return changes({}, tensors)
