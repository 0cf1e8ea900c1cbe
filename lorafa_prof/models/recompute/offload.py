"""`checkpointing: offload`: large tensors that layers save go to the host, and come back in backward.

Forward copies them on a side stream, and lets go of those of a layer some layers later, of the last ones when
the model is done. Backward brings all of a layer back when the second layer after it starts.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from lorafa_prof.errors import UsageError
from lorafa_prof.models.recompute.hooks import Hooks
from lorafa_prof.models.recompute.host_memory import HostMemory
from lorafa_prof.models.recompute.side_stream import SideStream

#: Smaller storages stay on the device.
SMALLEST_BYTES = 1 << 20
#: Layers whose copies to the host may be under way when another starts. Tensors differ in size: with fewer, a
#: large one makes forward wait though the link would do in the mean.
_IN_FLIGHT = 3
#: Layers that backward brings back before they are wanted.
_AHEAD = 2


def offload(trained: nn.Module, share: float, *, smallest_bytes: int = SMALLEST_BYTES) -> None:
    """Make the model's layers move at most `share` of the bytes that they save to the host.

    Of tensors in the order that they are saved in, each is moved that the share allows for, so that copies
    are spread over forward. With less than all, the last layer keeps what it saves: it is wanted at once.

    Args:
        trained: the model, prepared to train, on its device.
        share: above 0, at most 1.
        smallest_bytes: storages below this are neither moved nor counted.

    Raises:
        UsageError: it has no layers that are known.
    """
    layers = list(_outermost_layers(trained))
    if not layers:
        raise UsageError(
            f"checkpointing 'offload' finds no layers in a {type(trained).__name__}: none of its modules is "
            "a GradientCheckpointingLayer of transformers",
            about="checkpointing",
        )
    mover = Mover(trained, share, smallest_bytes)
    for layer in layers if share == 1 else layers[:-1] or layers:
        _run_inside(layer, mover.layer)
    trained.register_forward_hook(lambda *args: mover.finish(), always_call=True)


def _outermost_layers(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, GradientCheckpointingLayer):
            yield child
        else:
            yield from _outermost_layers(child)


def _run_inside(layer: Any, context: Callable[[], Any]) -> None:
    """Make the layer's forward run inside of `context`, or the checkpoint that it is in."""
    if layer.gradient_checkpointing:
        checkpoint = layer._gradient_checkpointing_func

        def in_context(function: Any, *args: Any) -> Any:
            with context():
                return checkpoint(function, *args)

        layer._gradient_checkpointing_func = in_context
        return
    forward = layer.forward

    def forward_in_context(self: Any, *args: Any, **kwargs: Any) -> Any:
        with context():
            return forward(*args, **kwargs)

    layer.forward = MethodType(forward_in_context, layer)


@dataclass(eq=False)
class _Moved:
    """A storage that was moved: where it is, and of which layer.

    Attributes:
        layer: that saved it.
        on_device: the storage as a flat tensor, until it is copied to the host, and when it is fetched again.
        on_host: the same there.
        ready: event of the copy back to the device, until the computing stream has waited for it.
    """

    layer: _Layer
    side: SideStream
    on_device: Tensor | None
    on_host: Tensor = field(init=False)
    ready: Any = None

    def wait(self) -> Tensor:
        """Return the storage as a flat tensor on the device, once the copy there is done."""
        ready, self.ready = self.ready, None
        self.side.wait_for(ready)
        return cast(Tensor, self.on_device)

    def __del__(self) -> None:
        # Else a copy that nobody wanted might write to memory that is someone else's by then.
        self.side.wait_for(self.ready)


@dataclass(eq=False)
class _Layer:
    """What a layer moved, and the layer that ran before it."""

    before: _Layer | None
    moved: list[weakref.ref[_Moved]] = field(default_factory=list)
    copied: Any = None
    fetched: bool = False

    def alive(self) -> list[_Moved]:
        """Return what backward has not done with."""
        return [moved for moved in (reference() for reference in self.moved) if moved is not None]


@dataclass(frozen=True)
class _Saved:
    """What autograd holds of a tensor whose storage was moved."""

    moved: _Moved
    dtype: torch.dtype
    size: torch.Size
    stride: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class _Kept:
    """What autograd holds of another tensor, by the hooks that were in force before."""

    packed: Any


class Mover:
    """Moves what layers save; `layer` is a context around one's forward, `finish` comes after the last.

    Args:
        model: whose parameters and buffers stay.
        share: of the bytes of storages that are large enough, at most so much is moved.
        smallest_bytes: which are.
    """

    def __init__(self, model: nn.Module, share: float, smallest_bytes: int) -> None:
        self._model = model
        self._share = share
        self._smallest_bytes = smallest_bytes
        self._device = next(model.parameters()).device
        self._side = SideStream(self._device)
        self._host = HostMemory(self._device)
        self._stays: set[int] = set()
        self._last: _Layer | None = None
        self._in_flight: deque[_Layer] = deque()
        self._seen: dict[int, tuple[weakref.ref[torch.UntypedStorage], _Moved | None]] = {}
        self._seen_bytes = 0
        self._moved_bytes = 0

    @contextmanager
    def layer(self) -> Iterator[None]:
        """A context in which what is saved is moved."""
        if not torch.is_grad_enabled():
            yield
            return
        if self._last is None:
            tensors = [*self._model.parameters(), *self._model.buffers()]
            self._stays = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        self._let_go(but=_IN_FLIGHT)
        layer = self._last = _Layer(self._last)
        self._in_flight.append(layer)
        outside = Hooks.now()
        with Hooks(
            lambda tensor: self._pack(tensor, layer, outside), lambda packed: self._unpack(packed, outside)
        ).on():
            yield

    def finish(self) -> None:
        """Let go of all that was copied: the model's forward is over."""
        self._let_go(but=0)
        self._last = None
        self._seen.clear()
        self._seen_bytes = self._moved_bytes = 0

    def _let_go(self, *, but: int) -> None:
        """Let the computing stream wait for the oldest copies to the host, and give their memory back."""
        while len(self._in_flight) > but:
            layer = self._in_flight.popleft()
            self._side.wait_for(layer.copied)
            for moved in layer.alive():
                moved.on_device = None

    def _pack(self, tensor: Tensor, layer: _Layer, outside: Hooks) -> _Saved | _Kept:
        moved = self._moved(tensor, layer)
        if moved is None:
            return _Kept(outside.pack(tensor))
        return _Saved(moved, tensor.dtype, tensor.size(), tensor.stride(), int(tensor.storage_offset()))

    def _moved(self, tensor: Tensor, layer: _Layer) -> _Moved | None:
        """Return what the tensor's storage was moved as, now or before; None if it stays."""
        if tensor.device != self._device or not torch._C._has_storage(tensor):
            return None
        storage = tensor.untyped_storage()
        nbytes = storage.nbytes()
        if nbytes < self._smallest_bytes or storage.data_ptr() in self._stays:
            return None
        seen = self._seen.get(storage._cdata)
        if seen is not None and seen[0]() is not None:
            return seen[1]
        self._seen_bytes += nbytes
        moved = None
        if self._moved_bytes + nbytes <= self._share * self._seen_bytes and nbytes % tensor.itemsize == 0:
            self._moved_bytes += nbytes
            moved = self._move(tensor, layer)
        self._seen[storage._cdata] = (weakref.ref(storage), moved)
        return moved

    def _move(self, tensor: Tensor, layer: _Layer) -> _Moved:
        nbytes = tensor.untyped_storage().nbytes()
        flat = tensor.detach().as_strided((nbytes // tensor.itemsize,), (1,), 0)
        moved = _Moved(layer, self._side, flat)
        moved.on_host = self._host.take(nbytes, moved).view(tensor.dtype)
        layer.moved.append(weakref.ref(moved))
        layer.copied = self._side.copy(flat, moved.on_host)
        return moved

    def _unpack(self, packed: _Saved | _Kept, outside: Hooks) -> Tensor:
        if isinstance(packed, _Kept):
            return cast(Tensor, outside.unpack(packed.packed))
        moved = packed.moved
        layer: _Layer | None = moved.layer
        for _ in range(1 + _AHEAD):
            if layer is None:
                break
            self._fetch(layer)
            layer = layer.before
        flat = moved.wait()
        if flat.dtype != packed.dtype:
            flat = flat.view(torch.uint8).view(packed.dtype)
        return flat.as_strided(packed.size, packed.stride, packed.offset)

    def _fetch(self, layer: _Layer) -> None:
        """Bring back all that backward will want of a layer, once, what was saved last first."""
        if layer.fetched:
            return
        layer.fetched = True
        for moved in reversed(layer.alive()):
            moved.on_device = torch.empty(len(moved.on_host), dtype=moved.on_host.dtype, device=self._device)
            moved.ready = self._side.copy(moved.on_host, moved.on_device)
