"""Counting what a rank sends in a step, and the buffers that it takes for it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from lorafa_prof.instruments.communication.operations import Operation, operation_of, tensors_in
from lorafa_prof.instruments.memory.storages import storage_key
from lorafa_prof.parallel.local import has_sharded
from lorafa_prof.step import Phase

#: FSDP2's own operations: what gathered parameters are copied to, and what gradients are reduced from.
_FSDP = "fsdp"
_COPIED_OUT = "split_with_sizes_copy"
UNSHARDED = "unsharded_parameters"


@dataclass(frozen=True)
class Sent:
    """The collectives of one kind in one phase, all together.

    `bytes` are those of the whole tensors, `sent_bytes` those that this rank sends.
    """

    phase: Phase
    collective: str
    calls: int
    bytes: int
    sent_bytes: int


@dataclass(frozen=True)
class Communication:
    """What one rank sends in a step.

    Attributes:
        sent: by phase and collective.
        buffers_bytes: of the storages that collectives read and write, and that are no gradient and no
            parameter's shard, by kind, when they are the most together; `unsharded_parameters` are what FSDP2
            gathers layers into, the others are named after their collective.
        exposed_ms: of a step, in which GPUs send and do nothing else; None: unknown.
    """

    sent: tuple[Sent, ...]
    buffers_bytes: dict[str, int]
    exposed_ms: float | None = None

    @property
    def sent_bytes(self) -> int:
        """Bytes that this rank sends in a step."""
        return sum(sent.sent_bytes for sent in self.sent)


class CommunicationCounter(TorchDispatchMode):
    """A dispatch mode and observer around one step of a rank; read `communication` after it.

    Collectives are seen as operations, also those that DDP starts from C++. Buffers are looked at whenever a
    collective or a copy of FSDP2 runs, and at phases' ends. What NCCL keeps for itself is no storage of
    PyTorch's: it is in no count here.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # Between steps, as they are: within one FSDP2 puts gathered ones in their place.
        params = list(model.parameters())
        self._shards = {storage_key(param) for param in params}
        self._trained = [param for param in params if param.requires_grad]
        self._ranks = dist.get_world_size()
        self._phase: Phase = "forward"
        self._sent: dict[tuple[Phase, str], list[Operation]] = {}
        self._buffers: dict[int, tuple[StorageWeakRef, str]] = {}
        self._most: Counter[str] = Counter()

    def phase_started(self, phase: Phase) -> None:
        """Count collectives to this phase from now on."""
        self._phase = phase

    def phase_ended(self, phase: Phase) -> None:
        """Look at the buffers."""
        self._look()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, count it if it is a collective, and note its buffers."""
        if has_sharded(types):
            return NotImplemented
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        operation = operation_of(func, args, kwargs, self._ranks)
        if operation is not None:
            self._sent.setdefault((self._phase, operation.kind), []).append(operation)
            for tensor in tensors_in((args, kwargs, result)):
                self._note(tensor, operation.kind)
            self._look()
        elif func.namespace == _FSDP:
            if func._opname == _COPIED_OUT:
                for tensor in tensors_in(kwargs.get("out")):
                    self._note(tensor, UNSHARDED)
            self._look()
        return result

    def _note(self, tensor: Tensor, kind: str) -> None:
        key = storage_key(tensor)
        known = self._buffers.get(key)
        if known is None or known[0].expired():
            self._buffers[key] = (StorageWeakRef(tensor.untyped_storage()), kind)

    def _look(self) -> None:
        kept = self._kept()
        now: Counter[str] = Counter()
        for key, (reference, kind) in list(self._buffers.items()):
            if reference.expired():
                del self._buffers[key]
            elif key not in kept:
                now[kind] += _bytes_of(reference)
        if now.total() > self._most.total():
            self._most = now

    def _kept(self) -> set[int]:
        """The storages of parameters' shards and of gradients, which a reduction may have written."""
        grads = (param.grad for param in self._trained)
        return self._shards | {storage_key(grad) for grad in grads if grad is not None}

    def communication(self) -> Communication:
        """Return what was counted."""
        return Communication(
            sent=tuple(
                Sent(
                    phase,
                    kind,
                    len(operations),
                    sum(operation.nbytes for operation in operations),
                    sum(operation.sent for operation in operations),
                )
                for (phase, kind), operations in self._sent.items()
            ),
            buffers_bytes={kind: nbytes for kind, nbytes in self._most.items() if nbytes},
        )


def _bytes_of(reference: StorageWeakRef) -> int:
    storage = torch.UntypedStorage._new_with_weak_ptr(reference.cdata)
    return 0 if storage is None else int(storage.nbytes())
