"""What bitsandbytes' 8-bit AdamW allocates, on tensors that have a shape only, without bitsandbytes.

Read in bitsandbytes 0.50.2, whose `optim/optimizer.py` and `functional.py` each function names. Its kernels
(`backends/cuda/ops.py`) update weights and states in place and allocate nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

#: `AdamW8bit(min_8bit_size=...)`: smaller parameters have states of 32 bits.
_SMALLEST_OF_8_BITS = 4096
#: Optimizer2State.init_state, `blocksize`: so many elements share a scale.
_BLOCK = 256
#: create_dynamic_map: a map has a value for each byte.
_MAP_VALUES = 256
#: Optimizer8bit.get_state_buffer, `p.numel() < 1e5`: smaller states are not paged.
_SMALLEST_PAGED = 100_000


@dataclass(frozen=True)
class ManagedState:
    """A state in managed memory (cudaMallocManaged), which PyTorch's allocator does not know of.

    bitsandbytes has it as a tensor of the host over that memory (functional.py, get_paged).
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    is_paged: bool = True

    @property
    def nbytes(self) -> int:
        """Bytes of managed memory."""
        return prod(self.shape) * self.dtype.itemsize


def bytes_of_moments(elements: Iterable[int]) -> Iterator[int]:
    """Yield the bytes of each tensor that `AdamW8bit` keeps for moments of so many numbers, with maps."""
    large = 0
    for count in elements:
        if count < _SMALLEST_OF_8_BITS:
            yield 4 * count
        else:
            large += 1
            yield from (count, 4 * -(-count // _BLOCK))
    if large:
        yield from (4 * _MAP_VALUES, 4 * _MAP_VALUES)


class EightBitShapes(Optimizer):
    """Takes the place of `AdamW8bit`, or if `paged` of `PagedAdamW8bit`, where tensors have no values."""

    def __init__(self, params: list[torch.nn.Parameter], *, lr: float, paged: bool) -> None:
        super().__init__(params, {"lr": lr})
        self.paged = paged
        self._maps: dict[str, Tensor] = {}

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Allocate as Optimizer8bit.step does: one parameter after another, states at its first step."""
        del closure
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    self._init_state(param, state)
                _update(param, state)

    def _init_state(self, param: torch.nn.Parameter, state: dict[str, Any]) -> None:
        """Allocate what Optimizer2State.init_state does, in its order."""
        state["step"] = 0
        if param.numel() < _SMALLEST_OF_8_BITS:
            state["state1"] = self._buffer(param, torch.float32)
            state["state2"] = self._buffer(param, torch.float32)
            return
        signed, unsigned = self._map("dynamic", param.device), self._map("udynamic", param.device)
        state["state1"], state["qmap1"] = self._buffer(param, torch.uint8), signed
        state["state2"], state["qmap2"] = self._buffer(param, torch.uint8), unsigned
        blocks = -(-param.numel() // _BLOCK)
        for name in ("absmax1", "absmax2"):
            state[name] = torch.zeros((blocks,), dtype=torch.float32, device=param.device)

    def _map(self, name: str, device: torch.device) -> Tensor:
        """Return the map of this name on `device`, where the optimizer keeps one for all parameters."""
        if name not in self._maps:
            # Made on the host (Optimizer8bit.fill_qmap); the first 8-bit parameter brings it to its device.
            self._maps[name] = torch.zeros(_MAP_VALUES, dtype=torch.float32, device="cpu").to(device)
        return self._maps[name]

    def _buffer(self, param: torch.nn.Parameter, dtype: torch.dtype) -> Tensor | ManagedState:
        """Allocate a state as Optimizer8bit.get_state_buffer does."""
        if not self.paged or param.numel() < _SMALLEST_PAGED:
            return torch.zeros_like(param, dtype=dtype, device=param.device)
        return ManagedState(tuple(param.shape), dtype)


def _update(param: torch.nn.Parameter, state: dict[str, Any]) -> None:
    """Do what Optimizer2State.update_step does to memory: a weight or gradient with gaps is copied first."""
    param.data = param.data.contiguous()
    assert param.grad is not None
    param.grad = param.grad.contiguous()
    state["step"] += 1
