"""The saved tensors in a cell's record, equal ones of like modules as one, and their changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lorafa_prof.instruments.user_line import both_lines
from lorafa_prof.words.module_paths import like_modules


def layer_of(path: str) -> str:
    """Return the layer that a module is in, from its path: ``layers.3``; empty if it is in none."""
    names = path.split(".")
    number = next((index for index, name in enumerate(names) if name.isdecimal()), -1)
    return ".".join(names[: number + 1])


@dataclass(frozen=True, order=True)
class TensorKey:
    """What equal saved tensors have in common: module and operation that saved them, kind, type and shape.

    `kind` is one of `parts.SAVED_KINDS`. For bytes that no saved tensor has it is ``weights``, ``gradients``,
    ``optimizer`` or ``held_otherwise``; those have neither operation nor shape.
    """

    module: str
    kind: str
    op: str = ""
    dtype: str = ""
    shape: tuple[int, ...] = ()

    def __str__(self) -> str:
        shape = "×".join(map(str, self.shape))
        tensor = f"{self.kind} {self.dtype}{f'[{shape}]' if shape else ''}".strip()
        return f"{self.module or '(no module)'}: {tensor}" if self.op or self.module else tensor


@dataclass(frozen=True)
class Held:
    """The storages with one key: how many, their bytes together, and the first one's line by `both_lines`."""

    count: int
    nbytes: int
    line: str = ""


Tensors = dict[TensorKey, Held]


@dataclass(frozen=True)
class TensorChange:
    """How the storages with one key changed."""

    key: TensorKey
    before: Held
    after: Held

    @property
    def delta_bytes(self) -> int:
        """How many bytes more there are than before."""
        return self.after.nbytes - self.before.nbytes


def saved_tensors(details: Mapping[str, Any]) -> Tensors | None:
    """Return the saved tensors in the details of a cell's record, without what was there before the step.

    None if they were not recorded.
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
            Held(1, storage["nbytes"], both_lines(storage.get("user_line", ""), storage.get("line", ""))),
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
    """Return weights, gradients and optimizer state as tensors, from the sizes in a row."""
    sizes = {name: row.get(f"{name}_bytes") for name in STATIC_KINDS}
    return {TensorKey("", name): Held(1, size) for name, size in sizes.items() if size}


def _together(storages: Iterable[tuple[TensorKey, Held]]) -> Tensors:
    groups: dict[TensorKey, list[Held]] = defaultdict(list)
    for key, held in storages:
        groups[key].append(held)
    return {
        key: replace(alike[0], count=len(alike), nbytes=sum(held.nbytes for held in alike))
        for key, alike in groups.items()
    }


def changes(before: Tensors, after: Tensors) -> list[TensorChange]:
    """Return the changes of keys whose bytes differ, the largest growth first."""
    nothing = Held(0, 0)
    compared = [
        TensorChange(key, before.get(key, nothing), after.get(key, nothing)) for key in {**before, **after}
    ]
    changed = (change for change in compared if change.delta_bytes)
    return sorted(changed, key=lambda change: (-change.delta_bytes, change.key))


def largest(tensors: Tensors) -> list[TensorChange]:
    """Return all tensors as changes from nothing, the largest first."""
    return changes({}, tensors)
