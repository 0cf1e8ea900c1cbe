"""A twin's mode before a memory that only writes down what is asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.kernels.kernel import Model, Models
from lorafa_prof.devices.sim.machine import Machine
from lorafa_prof.devices.sim.mode import TwinMode
from lorafa_prof.devices.sim.paths import cuda_paths

#: What numbers in tests are of, whatever is installed.
TORCH = (2, 13)
H100 = Machine((9, 0), 132, TORCH)
A100 = Machine((8, 0), 108, TORCH)
L4 = Machine((8, 9), 58, TORCH)
T4 = Machine((7, 5), 40, TORCH)
B200 = Machine((10, 0), 148, TORCH)
RTX_5090 = Machine((12, 0), 170, TORCH)
P100 = Machine((6, 0), 56, TORCH)


class Ledger:
    """Every request in order: bytes taken as they are, bytes given back below zero."""

    def __init__(self) -> None:
        self.events: list[int] = []
        self._closed = False

    @property
    def held(self) -> int:
        """Bytes taken and not given back."""
        return sum(self.events)

    def malloc(self, requested_bytes: int) -> int:
        self.events.append(requested_bytes)
        return requested_bytes

    def free(self, block: int) -> None:
        if not self._closed:
            self.events.append(-block)

    def close(self) -> None:
        """Write down no more: a test's own tensors may live longer than what it looks at."""
        self._closed = True


@contextmanager
def recording(machine: Machine = H100, table: Mapping[Any, Model] | None = None) -> Iterator[Ledger]:
    """A context in which `meta` stands for `machine`, with the kernels of `table` or all there are."""
    ledger = Ledger()
    mode = TwinMode(machine, ledger, Models() if table is None else table)
    with cuda_paths(machine), mode:
        yield ledger
    ledger.close()


def on_meta(*shape: int, dtype: torch.dtype = torch.float32, grad: bool = False) -> Tensor:
    return torch.empty(*shape, dtype=dtype, device="cuda", requires_grad=grad)
