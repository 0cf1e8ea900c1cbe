"""Micro-batches but the last leave gradients on their rank, as Accelerate has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel


@contextmanager
def unreduced_gradients(model: nn.Module) -> Iterator[None]:
    """A context around forward and backward in which ranks do not reduce their gradients, if there are any.

    FSDP2 keeps them whole until they are reduced, as large as the parameters that train.
    """
    if isinstance(model, DistributedDataParallel):
        with model.no_sync():
            yield
    elif isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            model.set_requires_gradient_sync(True)
    else:
        yield
