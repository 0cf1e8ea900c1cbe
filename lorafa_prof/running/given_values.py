"""Giving a model that was sharded without values its values: each parameter is whole on a rank by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lorafa_prof.models.deferred import Deferred
from lorafa_prof.models.later import Later, Taker, Version
from lorafa_prof.parallel.local import first_row_here, local_part


def parameters_without_values(model: nn.Module, deferred: Deferred) -> dict[str, Later]:
    """Return the parameters of `model` that have no values yet, by name."""
    return {name: deferred.later(p) for name, p in model.named_parameters() if p.is_meta}


@torch.no_grad()
def give_values(model: nn.Module, parameters: Mapping[str, Later], deferred: Deferred) -> None:
    """Give the model, which was sharded meanwhile, its values: each rank draws all and keeps its rows.

    Args:
        model: with room for its shards.
        parameters: what each of its parameters without values was, by name.
        deferred: what the model was built under.
    """
    takers: defaultdict[Version, list[Taker]] = defaultdict(list)
    named = dict(model.named_parameters())
    for name, later in parameters.items():
        takers[later.version].append(partial(_keep_rows, named[name], later))
    for owner, name, tensor in _other_tensors(model):
        later = deferred.later(tensor)
        takers[later.version].append(partial(_keep, owner, name, later))
    deferred.give(takers)


def _keep_rows(parameter: nn.Parameter, later: Later, whole: Tensor) -> None:
    local = local_part(parameter)
    if local.numel():
        local.copy_(later.part_of(whole).narrow(0, first_row_here(parameter), local.shape[0]))


def _keep(owner: dict[str, Any], name: str, later: Later, whole: Tensor) -> None:
    owner[name] = later.part_of(whole)


def _other_tensors(model: nn.Module) -> Iterator[tuple[dict[str, Any], str, Tensor]]:
    """Yield tensors without values that are no parameters, such as buffers, and what they are kept in."""
    for module in model.modules():
        for owner in (module._buffers, vars(module)):
            for name, value in owner.items():
                if isinstance(value, Tensor) and value.is_meta:
                    yield owner, name, value
