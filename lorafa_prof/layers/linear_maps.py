"""The linear maps of a model that can have an adapter, and why others cannot."""

from __future__ import annotations

import inspect
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lorafa_prof.layers.low_rank_linear import in_by_out, is_conv1d, is_linear
from lorafa_prof.layers.quantized.state import is_quantized

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Names under which transformers keeps the head of a classifier; PEFT keeps the same list
# (peft/utils/constants.py, SEQ_CLS_HEAD_NAMES).
CLASSIFICATION_HEADS = ("score", "classifier")
#: Two of a gated layer's weights in one, as experts have them; each half gets the rank asked for.
_TWO_IN_ONE = "gate_up_proj"
_OWN_WEIGHT = re.compile(r"self\.(\w+)\.weight\b(?!\.(?:dtype|device|shape))")


@dataclass(frozen=True)
class LinearMap:
    """A linear map of a model: a layer, or a weight that a module multiplies by itself.

    Attributes:
        module: the linear layer, or the module that owns the weight.
        weight_name: name of the weight in that module; None for a layer.
        in_features, out_features: its sides; of one expert, if there are several.
        turned: whether the weight has its inputs before its outputs; of weights only.
        obstacle: why it can have no adapter; None if it can.
        by_name: whether only its name makes it a target, not ``all-linear``.
    """

    module: nn.Module
    in_features: int
    out_features: int
    weight_name: str | None = None
    turned: bool = False
    obstacle: str | None = None
    by_name: bool = False

    @property
    def weight(self) -> Tensor:
        """The weight, as stored."""
        return cast(Tensor, getattr(self.module, self.weight_name or "weight"))

    @property
    def matrices(self) -> int:
        """How many maps of a model's own are in one here: 2 for gate and up of experts."""
        return 2 if self.weight_name == _TWO_IN_ONE else 1


def linear_maps(model: PreTrainedModel) -> dict[str, LinearMap]:
    """Return all linear maps by path, except for a classifier's head.

    Embeddings and the output layer are targets by name alone. All other linear layers are what PEFT calls
    ``all-linear`` (peft/tuners/tuners_utils.py, _maybe_include_all_linear_layers). To them come weights of
    experts, one [E, out, in] or [E, in, out] parameter, and of routers beside experts, which PEFT adapts
    where it has a conversion (peft/utils/transformers_weight_conversion.py). A router goes by its path,
    experts by the parameter's.
    """
    modules = dict(model.named_modules())
    output = model.get_output_embeddings()
    head = classification_head(model)
    hidden_size = getattr(model.config.get_text_config(), "hidden_size", None)
    return {
        path: found
        for name, module in modules.items()
        if not (head and (name == head[0] or name.startswith(f"{head[0]}.")))
        for path, found in _maps_of(name, module, modules[name.rpartition(".")[0]], hidden_size, output)
    }


def classification_head(model: nn.Module) -> tuple[str, nn.Module] | None:
    """Return name and module of a sequence classifier's head; None for models that have none."""
    for name in CLASSIFICATION_HEADS:
        head = getattr(model, name, None)
        if isinstance(head, nn.Module):
            return name, head
    return None


def _maps_of(
    name: str, module: nn.Module, parent: nn.Module, hidden_size: int | None, output: nn.Module | None
) -> Iterator[tuple[str, LinearMap]]:
    if is_linear(module):
        obstacle = _obstacle(module, parent, name.rpartition(".")[2])
        yield name, LinearMap(module, *in_by_out(module), obstacle=obstacle, by_name=module is output)
        return
    if isinstance(module, nn.Embedding):
        yield name, LinearMap(module, module.num_embeddings, module.embedding_dim, by_name=True)
        return
    for own, weight in module.named_parameters(recurse=False):
        if own == "weight" and _is_router(module, weight, parent):
            yield name, _own_weight(module, own, weight)
        elif _is_of_experts(module, weight):
            turned = _inputs_come_first(module, own, weight, hidden_size)
            yield f"{name}.{own}", _own_weight(module, own, weight, turned=turned)
        elif "Expert" in type(module).__name__ and weight.dim() == 2 and not own.endswith("bias"):
            obstacle = f"{type(module).__name__} keeps the weights of all experts in one matrix"
            yield f"{name}.{own}", _own_weight(module, own, weight, obstacle=obstacle)


def _own_weight(
    module: nn.Module, name: str, weight: Tensor, *, turned: bool = False, obstacle: str | None = None
) -> LinearMap:
    out_features, in_features = (weight.mT if turned else weight).shape[-2:]
    return LinearMap(module, in_features, out_features, name, turned, obstacle)


def _is_of_experts(module: nn.Module, weight: Tensor) -> bool:
    return weight.dim() == 3 and (
        getattr(module, "num_experts", None) == len(weight) or "Expert" in type(module).__name__
    )


def _is_router(module: nn.Module, weight: Tensor, parent: nn.Module) -> bool:
    """Whether `weight` has a row for each expert of a module beside `module`."""
    return weight.dim() == 2 and any(
        _is_of_experts(beside, other) and len(other) == len(weight)
        for beside in parent.children()
        for other in beside.parameters(recurse=False)
    )


def _inputs_come_first(module: nn.Module, name: str, weight: Tensor, hidden_size: int | None) -> bool:
    """Whether a weight of experts is [E, in, out]: its module says so, or its sides do."""
    marked = getattr(module, "is_transposed", None)
    if marked is not None:
        return bool(marked)
    inputs = getattr(module, "in_features", getattr(module, "input_size", None))
    first, last = weight.shape[1:]
    if inputs is None and hidden_size in (first, last):
        inputs = hidden_size if "down" not in name else last if first == hidden_size else first
    return first == inputs != last


def _obstacle(module: nn.Module, parent: nn.Module, name: str) -> str | None:
    """Return why the linear layer `module`, called `name` in its parent, can have no adapter."""
    if hasattr(parent, "A_log") and name in _weights_read_in(cast(Hashable, type(parent))):
        return f"{type(parent).__name__} reads its weight, past the layer"
    if not computes_a_linear_map(module):
        return f"a {type(module).__name__} computes more than a linear map"
    return None


@cache
def _weights_read_in(kind: Hashable) -> frozenset[str]:
    """Return the names of layers whose weights a state-space mixer hands to a kernel, by its source."""
    try:
        source = inspect.getsource(cast(type, kind))
    except OSError:  # made up at run time
        return frozenset()
    return frozenset(_OWN_WEIGHT.findall(source))


def computes_a_linear_map(module: nn.Module) -> bool:
    """Return whether a linear layer gives one tensor of its number of outputs.

    A class of its own is tried, on shapes: routers of experts may give their choice too.
    """
    if is_conv1d(module) or is_quantized(module) or type(module).forward is nn.Linear.forward:
        return True
    in_features, out_features = in_by_out(module)
    shapes = {name: torch.empty_like(p, device="meta") for name, p in module.named_parameters()}
    x = shapes["weight"].new_empty(3, in_features)
    try:
        with torch.no_grad():
            y = functional_call(module, shapes, x)
    except (RuntimeError, TypeError, ValueError):  # it wants another input than a linear layer
        return False
    return isinstance(y, Tensor) and y.shape == (3, out_features)
