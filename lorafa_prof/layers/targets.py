"""Choosing the linear layers that get an adapter, and replacing them by adapted ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.low_rank_linear import LowRankLinear, in_by_out, is_linear
from lorafa_prof.registry import nearest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: What `targets` may be instead of names.
ALL_LINEAR = "all-linear"
ATTENTION = "attention"

# Names under which transformers keeps the head of a classifier; PEFT keeps the same list
# (peft/utils/constants.py, SEQ_CLS_HEAD_NAMES).
CLASSIFICATION_HEADS = ("score", "classifier")


def classification_head(model: nn.Module) -> tuple[str, nn.Module] | None:
    """Return name and module of a sequence classifier's head; None for models that have none."""
    for name in CLASSIFICATION_HEADS:
        head = getattr(model, name, None)
        if isinstance(head, nn.Module):
            return name, head
    return None


def adaptable_linears(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return all linear layers by name, except for the output embedding and a classifier's head.

    This is what PEFT calls ``all-linear`` (peft/tuners/tuners_utils.py, _maybe_include_all_linear_layers).
    """
    output = model.get_output_embeddings()
    head = classification_head(model)
    below_head = f"{head[0]}." if head else None
    return {
        name: module
        for name, module in model.named_modules()
        if is_linear(module)
        and module is not output
        and not (head and (module is head[1] or name.startswith(cast(str, below_head))))
    }


def below_attention(model: nn.Module, name: str) -> bool:
    """Return whether a module around the layer `name` has "Attention" in the name of its class."""
    parts = name.split(".")
    parents = (".".join(parts[:depth]) for depth in range(1, len(parts)))
    return any("Attention" in type(model.get_submodule(parent)).__name__ for parent in parents)


def find_targets(model: PreTrainedModel, targets: str) -> dict[str, nn.Module]:
    """Return the linear layers that `targets` selects, by name.

    Args:
        model: a transformers model without adapters.
        targets: ``all-linear``, ``attention``, or names of layers divided by commas, each matching the end
            of a layer's path ("q_proj,v_proj").

    Raises:
        UsageError: a name matches no linear layer; the message has the nearest known one.
    """
    linears = adaptable_linears(model)
    if targets == ALL_LINEAR:
        return linears
    if targets == ATTENTION:
        return {name: module for name, module in linears.items() if below_attention(model, name)}
    chosen: dict[str, nn.Module] = {}
    for wanted in targets.split(","):
        matching = {n: m for n, m in linears.items() if n == wanted or n.endswith(f".{wanted}")}
        if not matching:
            known = sorted({name.rsplit(".", 1)[-1] for name in linears})
            raise UsageError(
                f"no linear layer is called '{wanted}'{nearest(wanted, known)}; "
                f"this model has {', '.join(known)}",
                about="targets",
            )
        chosen |= matching
    return {name: module for name, module in linears.items() if name in chosen}


def check_rank(linears: dict[str, nn.Module], rank: int) -> None:
    """Raise UsageError if `rank` is larger than the smaller side of some layer."""
    for name, module in linears.items():
        in_features, out_features = in_by_out(module)
        if rank > min(in_features, out_features):
            raise UsageError(
                f"rank {rank} is larger than layer '{name}' ({in_features} to {out_features}); "
                f"at most {min(in_features, out_features)}",
                about="rank",
            )


def replace_linears(
    model: nn.Module, linears: dict[str, nn.Module], wrap: Callable[[nn.Module], LowRankLinear]
) -> None:
    """Replace each layer of `linears` in `model` by `wrap(layer)`."""
    for name, module in linears.items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, wrap(module))
