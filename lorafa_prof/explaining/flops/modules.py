"""What each opinion says of each module, by modules that all opinions know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lorafa_prof.cell import Cell
from lorafa_prof.instruments.flops.counter import FlopCount
from lorafa_prof.instruments.flops.opinions.closed_form import Products

NONE = Products(0, 0)

#: Where a loss that makes no logits does the output layer's products; Liger's is in no module.
_LOSSES = ("fused_loss", "chunked_loss", "")


@dataclass(frozen=True)
class Opinions:
    """What each opinion says, by module: its own products, with those of its adapter and not of its children.

    Attributes:
        cell: whose step it is.
        executed: what the step on the twin executes.
        counted: the same as it was counted, with the optimizer's phase and what has no formula.
        closed: the closed form of what the method needs; None if there is none of this model.
        closed_with_gradient: the same if the gradient of the embeddings' output is asked for.
        adapters: of each linear layer, the part of forward that its adapter takes.
        two_n: 2 · tokens · N of all micro-batches, with the N weights of all linear layers; None as `closed`.
        fvcore: FLOPs of forward of the network without adapters; None if it cannot be asked.
        missing: why an opinion is not there, by its name.
        notes: what a reader must know of the prediction.
    """

    cell: Cell
    executed: Mapping[str, Products]
    counted: FlopCount
    closed: Mapping[str, Products] | None = None
    closed_with_gradient: Mapping[str, Products] = field(default_factory=dict)
    adapters: Mapping[str, int] = field(default_factory=dict)
    two_n: int | None = None
    fvcore: Mapping[str, int] | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def in_shared_modules(opinions: Opinions) -> Opinions:
    """Return the same with the FLOPs of modules that only some opinions know in ones that all know.

    Those inside of an adapted layer, as PEFT has them, are the layer's. Those of a loss that makes no logits
    are the output layer's, and those of layers whose products another module does for them are that one's.
    """
    if not opinions.adapters:
        return opinions
    names = {path: layer for path in opinions.executed if (layer := _layer_of(path, opinions.adapters))}
    done = {names.get(path, path) for path in opinions.executed}
    *_, head = opinions.adapters
    if head not in done:
        names |= dict.fromkeys(_LOSSES, head)
        done.add(head)
    for layer in opinions.adapters.keys() - done:
        parent = layer.rpartition(".")[0]
        if parent in opinions.executed:
            names[layer] = parent
    return replace(
        opinions,
        executed=_products_in(opinions.executed, names),
        closed=_products_in(opinions.closed or {}, names),
        closed_with_gradient=_products_in(opinions.closed_with_gradient, names),
        adapters=_flops_in(opinions.adapters, names),
        fvcore=None if opinions.fvcore is None else _flops_in(opinions.fvcore, names),
    )


def _layer_of(path: str, layers: Mapping[str, int]) -> str:
    """Return the linear layer that a module is inside of, or nothing."""
    parts = path.split(".")
    return next((name for end in range(1, len(parts)) if (name := ".".join(parts[:end])) in layers), "")


def _products_in(given: Mapping[str, Products], names: Mapping[str, str]) -> dict[str, Products]:
    forward, backward = (
        _flops_in({path: products[phase] for path, products in given.items()}, names) for phase in (0, 1)
    )
    return {path: Products(forward[path], backward[path]) for path in forward}


def _flops_in(given: Mapping[str, int], names: Mapping[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for path, flops in given.items():
        name = names.get(path, path)
        found[name] = found.get(name, 0) + flops
    return found
