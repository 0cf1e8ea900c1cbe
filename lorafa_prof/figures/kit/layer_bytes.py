"""What autograd saved, by layer and module within a layer, from a cell's record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lorafa_prof.results.tensors import layer_of

_ADAPTER_PARTS = ("lora_", "base_layer")
# PEFT wraps the model; its paths are made those of the model without it.
_WRAPPER = ["base_model", "model"]


@dataclass(frozen=True)
class Module:
    """A module that every layer has: the path to the list of layers, and the path within a layer."""

    stack: str
    inner: str


@dataclass(frozen=True)
class LayerBytes:
    """Bytes by module and number of the layer, in the order of forward; what is in none by its path."""

    by_module: Mapping[Module, Mapping[int, int]]
    outside: Mapping[str, int]

    @property
    def outside_bytes(self) -> int:
        """Of all that is in no layer."""
        return sum(self.outside.values())

    @property
    def total_bytes(self) -> int:
        """Of all layers."""
        return sum(sum(layers.values()) for layers in self.by_module.values())

    def typical(self) -> dict[Module, int]:
        """Of each stack the layer that most others are equal to, the first of several."""
        layer, _ = self._typical
        return layer

    @property
    def typical_share(self) -> tuple[int, int]:
        """How many layers are equal to the typical one of their stack, and how many there are."""
        _, alike = self._typical
        return alike, len(
            {(module.stack, number) for module, held in self.by_module.items() for number in held}
        )

    @property
    def _typical(self) -> tuple[dict[Module, int], int]:
        stacks: dict[str, dict[int, dict[Module, int]]] = {}
        for module, held in self.by_module.items():
            for number, nbytes in held.items():
                stacks.setdefault(module.stack, {}).setdefault(number, {})[module] = nbytes
        typical: dict[Module, int] = {}
        alike = 0
        for layers in stacks.values():
            ((layer, times),) = Counter(
                tuple(held.items()) for _, held in sorted(layers.items())
            ).most_common(1)
            typical |= dict(layer)
            alike += times
        return typical, alike


def split_path(path: str) -> tuple[Module, int] | None:
    """The module and layer of a path, the layer being the first number in it; None where there is none.

    What PEFT puts into a linear counts to the linear.
    """
    parts = _unwrapped(path)
    stack, _, number = layer_of(".".join(parts)).rpartition(".")
    if not number:
        return None
    inner = parts[len(stack.split(".")) + 1 if stack else 1 :]
    end = next((index for index, part in enumerate(inner) if part.startswith(_ADAPTER_PARTS)), len(inner))
    return Module(stack, ".".join(inner[:end])), int(number)


def _unwrapped(path: str) -> list[str]:
    parts = path.split(".")
    return parts[2:] if parts[:2] == _WRAPPER else parts


def layer_bytes(saved: Mapping[str, Any]) -> LayerBytes:
    """Sum the storages of `details.saved`; those that were there before the step are no activations."""
    total: dict[Module, dict[int, int]] = {module: {} for module in _in_order(saved["by_module"])}
    outside: dict[str, int] = {}
    for storage in saved["storages"]:
        if storage["from_before"]:
            continue
        place = split_path(storage["module"])
        if place is None:
            path = ".".join(_unwrapped(storage["module"]))
            outside[path] = outside.get(path, 0) + storage["nbytes"]
        else:
            layers = total.setdefault(place[0], {})
            layers[place[1]] = layers.get(place[1], 0) + storage["nbytes"]
    return LayerBytes({module: layers for module, layers in total.items() if layers}, outside)


def _in_order(paths: Iterable[str]) -> list[Module]:
    """The modules in the order of forward.

    The first layer may lack one that others have (its input needs no gradient): the fullest layer leads.
    """
    layers: dict[tuple[str, int], list[Module]] = {}
    for path in paths:
        if (place := split_path(path)) is not None:
            layers.setdefault((place[0].stack, place[1]), []).append(place[0])
    return merged(layers.values())


def merged(sequences: Iterable[Iterable[Module]]) -> list[Module]:
    """Every module once, stack by stack, in the order of the fullest sequence, then of the next."""
    known = [list(sequence) for sequence in sequences]
    stacks = list(dict.fromkeys(module.stack for sequence in known for module in sequence))
    fullest_first = sorted(known, key=len, reverse=True)
    modules = dict.fromkeys(module for sequence in fullest_first for module in sequence)
    return sorted(modules, key=lambda module: stacks.index(module.stack))
