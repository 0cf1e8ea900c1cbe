"""`checkpointing: mlp`: backward runs an MLP again up to its last product, and not that product."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from types import MethodType
from typing import Any

from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.packed.gated_mlp import GatedMlp
from lorafa_prof.layers.recomputing import is_recomputing, recomputed
from lorafa_prof.models.recompute.hooks import Hooks

#: By the name of an MLP's first linear layer in transformers: that of its last.
LAST_OF_FIRST = {
    "gate_up_proj": "down_proj",
    "up_proj": "down_proj",
    "c_fc": "c_proj",
    "fc1": "fc2",
    "wi": "wo",
    "wi_0": "wo",
    "dense_h_to_4h": "dense_4h_to_h",
}


def recompute_mlps(trained: nn.Module, share: float = 1.0) -> None:
    """Make the MLPs of this share of the layers, one at least, evenly spread, recompute.

    Raises:
        UsageError: a layer has none that is known, or experts.
    """
    layers = [module for module in trained.modules() if isinstance(module, GradientCheckpointingLayer)]
    by_layer = [[part for part in layer.modules() if _last_of(part)] for layer in layers]
    if not layers or not all(by_layer) or any(map(_has_experts, layers)):
        raise UsageError(
            "checkpointing 'mlp' knows modules with "
            f"{', '.join(f'{first} and {last}' for first, last in LAST_OF_FIRST.items())}, and a "
            f"{type(trained).__name__} has layers without, or with experts; full, attention and offload need "
            "none",
            about="checkpointing",
        )
    count, of = max(1, round(len(layers) * share)), len(layers)
    chosen = (parts for n, parts in enumerate(by_layer) if (n + 1) * count // of > n * count // of)
    mlp: Any
    for mlp in dict.fromkeys(part for parts in chosen for part in parts):
        packed = getattr(mlp, "packed", None)
        if isinstance(packed, GatedMlp):
            mlp.packed = replace(packed, recompute=True)
        else:
            _RecomputedMlp(mlp)


def _last_of(module: nn.Module) -> str:
    """Return the name of the module's last linear layer, if it is an MLP, else ""."""
    if isinstance(module, GradientCheckpointingLayer):
        return ""  # an OPT's layer, whose own two linear layers are no module
    parts = {name for name, _ in module.named_children()}
    return next((last for first, last in LAST_OF_FIRST.items() if {first, last} <= parts), "")


def _has_experts(layer: nn.Module) -> bool:
    names = [type(module).__name__ for module in layer.modules()]
    return any("Experts" in name or "Moe" in name or "MoE" in name for name in names)


class _RecomputedMlp:
    """An MLP's forward in a checkpoint, but for what its last linear layer and what follows it save.

    So backward has all it needs before it comes to that layer, and does not run it.
    """

    def __init__(self, mlp: nn.Module) -> None:
        self._forward = mlp.forward
        self._outside = Hooks()
        self._rest = ExitStack()
        mlp.forward = MethodType(self._run, mlp)
        mlp.get_submodule(_last_of(mlp)).register_forward_pre_hook(self._at_the_last)

    def _run(self, mlp: nn.Module, *args: Any, **kwargs: Any) -> Any:
        self._outside = Hooks.now()
        return recomputed(self._up_to_the_rest, *args, **kwargs)

    def _up_to_the_rest(self, *args: Any, **kwargs: Any) -> Any:
        with ExitStack() as self._rest:
            return self._forward(*args, **kwargs)

    def _at_the_last(self, module: nn.Module, args: Any) -> None:
        outside = Hooks() if is_recomputing() else self._outside
        self._rest.enter_context(outside.on())
