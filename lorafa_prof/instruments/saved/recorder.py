"""Recording saved tensors: every distinct storage that autograd holds for backward at the end of forward."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode, resolve_name

from lorafa_prof.instruments.memory.storages import (
    StorageFollower,
    model_tensors,
    state_storages,
    storage_key,
)
from lorafa_prof.instruments.module_stack import ModuleStack
from lorafa_prof.instruments.saved.kinds import SavePoint, is_cast_weight, kind_of
from lorafa_prof.instruments.saved.needs import Need
from lorafa_prof.instruments.saved.saving_line import saving_line
from lorafa_prof.instruments.user_line import user_line
from lorafa_prof.parts import SAVED_KINDS, SavedKind

KindRule = Callable[[SavePoint, tuple[int, ...], torch.dtype, frozenset[int]], SavedKind]


@dataclass(frozen=True)
class SavedStorage:
    """One storage that autograd holds.

    Attributes:
        module, op: module and operation that saved it first; those that saved it later only share it.
        kind: its kind by `saved.kinds.kind_of`, for the first that saved it.
        shape, dtype: those of the tensor first saved; the storage may be larger.
        nbytes: bytes of the storage.
        savers: how often it was saved.
        from_before: whether it was there before the step (a batch's ids), so that it is no activation.
        line: the line of the model's or the user's code that had it saved, by `saving_line`.
        needs: what autograd needs it for, if that was read.
        user_line: the innermost line of the user's own code then, by `user_line`; "" if there is none.
    """

    module: str
    op: str
    kind: SavedKind
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    savers: int
    from_before: bool
    line: str = ""
    needs: tuple[Need, ...] = ()
    user_line: str = ""


@dataclass(frozen=True)
class HeldStorage:
    """A storage made in forward at `module` that something other than autograd holds."""

    module: str
    nbytes: int


@dataclass(frozen=True)
class SavedTensors:
    """All storages that autograd holds at the end of forward, parameters and buffers excluded.

    `held_otherwise` are those made in forward that live on without autograd having saved them: the loss, and
    what a checkpointed region keeps for running again beside the tensors it is a function of. Among them is
    the state that modules keep for the next step; `replaced_bytes` are those of the last step's, now gone.
    """

    storages: tuple[SavedStorage, ...]
    held_otherwise: tuple[HeldStorage, ...] = ()
    replaced_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """Bytes of all saved storages, which are the column `saved_bytes`."""
        return sum(storage.nbytes for storage in self.storages)

    @property
    def from_before_bytes(self) -> int:
        """Bytes of the saved storages that were there before the step."""
        return sum(storage.nbytes for storage in self.storages if storage.from_before)

    @property
    def held_otherwise_bytes(self) -> int:
        """Bytes of the storages that are held without being saved."""
        return sum(storage.nbytes for storage in self.held_otherwise)

    @property
    def by_kind(self) -> dict[SavedKind, int]:
        """Bytes by kind, every kind named; their sum is `total_bytes`."""
        return {kind: sum(s.nbytes for s in self.storages if s.kind == kind) for kind in SAVED_KINDS}

    @property
    def by_module(self) -> dict[str, int]:
        """Bytes by path of the module that saved first."""
        total: Counter[str] = Counter()
        for storage in self.storages:
            total[storage.module] += storage.nbytes
        return dict(total)

    def as_records(self) -> list[dict[str, Any]]:
        """Return the storages as values for JSON, the largest first.

        They have no needs, which equal tensors of all layers have in common, and no line of the user's where
        nothing ran of it.
        """
        return [_as_record(s) for s in sorted(self.storages, key=lambda s: (-s.nbytes, s.module, s.op))]


def _as_record(storage: SavedStorage) -> dict[str, Any]:
    record = asdict(storage)
    del record["needs"]
    if not storage.user_line:
        del record["user_line"]
    return record


@dataclass
class _Seen:
    storage: weakref.ref[torch.UntypedStorage]
    first: SavedStorage
    savers: int = 1


class _CurrentOp(TorchFunctionMode):
    """A mode that knows the outermost Python-level operation under way."""

    def __init__(self) -> None:
        super().__init__()
        self.name = ""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outer, self.name = self.name, self.name or _op_name(func)
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.name = outer


def _op_name(func: Any) -> str:
    name = resolve_name(func) or getattr(func, "__name__", "")
    return str(name).rsplit(".", 1)[-1].strip("_")


class _OutermostModules(ModuleStack):
    """A stack of modules whose paths start at whichever module is called outside of all others."""

    def __init__(self) -> None:
        super().__init__(nn.Module())

    def _enter_module(self, module: nn.Module, args: Any) -> None:
        if not self._stack:
            self._names = {id(inner): name for name, inner in module.named_modules()}
        super()._enter_module(module, args)


class _Storages:
    """A set of storages that keeps none of them alive."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._references = {storage_key(t): weakref.ref(t.untyped_storage()) for t in tensors}

    def __contains__(self, key: int) -> bool:
        # A key may be another storage's once its own is gone.
        reference = self._references.get(key)
        return reference is not None and reference() is not None


class SavedTensorsRecorder:
    """A context around one forward pass; call `result` while the loss still lives.

    Autograd's pack hook sees each tensor as it is saved. Only weak references are kept, so a storage that
    is let go within forward is not counted, and none is held longer for being looked at. Inside a
    checkpointed region autograd holds nothing but the region's inputs, and just those are seen here.

    Usage::

        with SavedTensorsRecorder(model, device_type="cpu", before=[batch]) as recorder:
            loss = model(batch).sum()
            saved = recorder.result()
        print(saved.total_bytes, saved.by_kind)

    Known limits:

    - A storage that several operations saved has the module, operation and kind of the first.
    - What a custom `autograd.Function` keeps on its context without `save_for_backward` is not seen by the
      hook; with `otherwise` it is found as held.
    - Autograd's hooks are of one thread: what another thread's forward saves is not seen.

    Args:
        model: gives the paths, and the parameters and buffers, which are not counted; None: paths start at
            whichever module is called.
        device_type: storages on other devices are not counted.
        before: tensors that were there before the step, the batch for one.
        ranks: ranks of the model's adapters.
        rule: returns the kind of a saved tensor.
        otherwise: whether to look for `held_otherwise` too. That takes a dispatch mode, under which PyTorch
            does not add up gradients in place.
    """

    def __init__(
        self,
        model: nn.Module | None,
        *,
        device_type: str,
        before: Iterable[Tensor],
        ranks: Iterable[int] = (),
        rule: KindRule = kind_of,
        otherwise: bool = True,
    ) -> None:
        before = tuple(before)
        excluded = tuple(model_tensors(model)) if model is not None else ()
        self._excluded = _Storages(excluded)
        self._before = _Storages(before)
        self._device_type = device_type
        self._ranks = frozenset(ranks)
        self._rule = rule
        self._modules = ModuleStack(model) if model is not None else _OutermostModules()
        self._op = _CurrentOp()
        self._hooks = saved_tensors_hooks(self._pack, _unpack)
        self._follower: StorageFollower | None = None
        if otherwise:
            self._follower = StorageFollower(device_type, on_birth=self._born)
            self._follower.adopt((*excluded, *before))
        self._state = state_storages(model, device_type) if model is not None else []
        self._contexts = ExitStack()
        self._seen: dict[int, _Seen] = {}
        self._births: list[tuple[weakref.ref[torch.UntypedStorage], HeldStorage]] = []

    def __enter__(self) -> SavedTensorsRecorder:
        for context in (self._modules, self._op, self._hooks, self._follower):
            if context is not None:
                self._contexts.enter_context(context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._contexts.__exit__(kind, error, trace)

    def begins_with(self, before: Iterable[Tensor]) -> None:
        """Take these tensors for what was there before the step, in the place of those that were given."""
        self._before = _Storages(tuple(before))

    def _pack(self, tensor: Tensor) -> Tensor:
        # A sparse tensor has no storage of its own.
        if tensor.device.type == self._device_type and torch._C._has_storage(tensor):
            self._note(tensor)
        # A node that saves its own result hands it over with its grad_fn, which is that node: kept as it is,
        # the two would keep each other alive when the graph is let go without a backward.
        return tensor if tensor.grad_fn is None else tensor.detach()

    def _note(self, tensor: Tensor) -> None:
        key = storage_key(tensor)
        if key in self._excluded or _is_parameter(tensor):
            return
        seen = self._seen.get(key)
        if seen is not None and seen.storage() is not None:
            seen.savers += 1
            return
        point = SavePoint(self._modules.path, self._modules.modules, self._op.name)
        shape = tuple(tensor.shape)
        first = SavedStorage(
            module=point.path,
            op=point.op,
            kind=self._kind(point, tensor),
            shape=shape,
            dtype=str(tensor.dtype).removeprefix("torch."),
            nbytes=tensor.untyped_storage().nbytes(),
            savers=1,
            from_before=key in self._before,
            line=saving_line(),
            user_line=user_line(),
        )
        self._seen[key] = _Seen(weakref.ref(tensor.untyped_storage()), first)

    def _kind(self, point: SavePoint, tensor: Tensor) -> SavedKind:
        if is_cast_weight(tensor, point.modules):
            return "cast_weight"
        return self._rule(point, tuple(tensor.shape), tensor.dtype, self._ranks)

    def _born(self, storage: torch.UntypedStorage, nbytes: int) -> None:
        self._births.append((weakref.ref(storage), HeldStorage(self._modules.path, nbytes)))

    def held(self) -> list[tuple[torch.UntypedStorage, SavedStorage]]:
        """Return the storages that are held now, and what is known of each."""
        return [
            (storage, replace(seen.first, savers=seen.savers))
            for seen in self._seen.values()
            if (storage := seen.storage()) is not None
        ]

    def result(self, needs: Mapping[int, tuple[Need, ...]] | None = None) -> SavedTensors:
        """Return what is held now.

        Args:
            needs: what each storage is needed for, by `storage_key`, if that is known.
        """
        saved = self.held()
        keys = {int(storage._cdata) for storage, _ in saved}
        # A storage that was emptied since is held too, and holds nothing: gathered parameters.
        alive = [
            (storage, replace(held, nbytes=storage.nbytes()))
            for ref, held in self._births
            if (storage := ref()) is not None and storage.nbytes()
        ]
        return SavedTensors(
            storages=tuple(
                replace(known, needs=(needs or {}).get(int(storage._cdata), ())) for storage, known in saved
            ),
            held_otherwise=tuple(held for storage, held in alive if int(storage._cdata) not in keys),
            replaced_bytes=sum(nbytes for ref, nbytes in self._state if ref() is None),
        )


def _is_parameter(tensor: Tensor) -> bool:
    """Whether it is a parameter or a view of one, be it gathered for the forward of a sharded layer."""
    return isinstance(tensor._base if tensor._is_view() else tensor, nn.Parameter)


def _unpack(tensor: Tensor) -> Tensor:
    return tensor
