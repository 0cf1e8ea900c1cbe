"""Handing an optimizer the parameters that FSDP2 put in the place of those that it was made over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn
from torch.optim import Optimizer


@contextmanager
def handed_over(model: nn.Module, optimizer: Optimizer) -> Iterator[None]:
    """A context in which parameters of `model` become others; at its end `optimizer` has those.

    Methods make their optimizer before their model is sharded, as a method of one GPU does. It must not have
    run yet: state of the parameters that are gone would be lost.
    """
    before = dict(_named(model))
    yield
    after = dict(_named(model))
    _replace(optimizer, {id(parameter): after[name] for name, parameter in before.items()})


def _named(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return model.named_parameters(remove_duplicate=False)


def _replace(optimizer: Optimizer, successors: Mapping[int, nn.Parameter]) -> None:
    assert not optimizer.state
    for group in optimizer.param_groups:
        group["params"] = [successors.get(id(param), param) for param in group["params"]]
