"""What autograd saved, by layer and module within a layer, from a cell's record."""

from __future__ import annotations

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
    """Bytes by module and number of the layer, modules in the order of forward, and what is in no layer."""

    by_module: Mapping[Module, Mapping[int, int]]
    outside_bytes: int

    @property
    def total_bytes(self) -> int:
        """Of all layers."""
        return sum(sum(layers.values()) for layers in self.by_module.values())


def split_path(path: str) -> tuple[Module, int] | None:
    """The module and layer of a path, the layer being the first number in it; None where there is none.

    What PEFT puts into a linear counts to the linear.
    """
    parts = path.split(".")
    if parts[:2] == _WRAPPER:
        parts = parts[2:]
    stack, _, number = layer_of(".".join(parts)).rpartition(".")
    if not number:
        return None
    inner = parts[len(stack.split(".")) + 1 if stack else 1 :]
    end = next((index for index, part in enumerate(inner) if part.startswith(_ADAPTER_PARTS)), len(inner))
    return Module(stack, ".".join(inner[:end])), int(number)


def layer_bytes(saved: Mapping[str, Any]) -> LayerBytes:
    """Sum the storages of `details.saved`; those that were there before the step are no activations."""
    total: dict[Module, dict[int, int]] = {module: {} for module in _in_order(saved["by_module"])}
    outside_bytes = 0
    for storage in saved["storages"]:
        if storage["from_before"]:
            continue
        place = split_path(storage["module"])
        if place is None:
            outside_bytes += storage["nbytes"]
        else:
            layers = total.setdefault(place[0], {})
            layers[place[1]] = layers.get(place[1], 0) + storage["nbytes"]
    return LayerBytes({module: layers for module, layers in total.items() if layers}, outside_bytes)


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
