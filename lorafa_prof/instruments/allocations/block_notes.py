"""Notes on a timeline's blocks: whose tensor each holds, of what shape, saved by what, needed for what."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_iter

from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.instruments.allocations.log import LoggedBlock
from lorafa_prof.instruments.allocations.timeline_recorder import TimelineRecorder
from lorafa_prof.instruments.module_path import ModulePaths
from lorafa_prof.instruments.saved.needs import Need
from lorafa_prof.instruments.saved.needs_recorder import NeedsRecorder
from lorafa_prof.instruments.saved.recorder import SavedStorage, SavedTensorsRecorder
from lorafa_prof.methods.base import Prepared
from lorafa_prof.step import Phase


@dataclass(frozen=True)
class BlockNote:
    """What is known of the tensor that a block holds.

    Attributes:
        name: the parameter or buffer that it is, or whose gradient or optimizer state it is; else empty.
        role: "trained" or "frozen" for a parameter; "buffer"; for optimizer state its name, such as
            "exp_avg".
        shape, dtype: those of the tensor that the block was taken for; empty if a kernel took it for itself.
        saved: the record of autograd's saving it; None if it was not saved.
        needs: what autograd needs it for, if that could be read.
        recomputed: whether it was made in backward, by running a part of forward again.
        into_layer: whether it is an input of a layer, which checkpointing keeps.
    """

    name: str = ""
    role: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""
    saved: SavedStorage | None = None
    needs: tuple[Need, ...] = ()
    recomputed: bool = False
    into_layer: bool = False


class NotingRecorder(TimelineRecorder):
    """A `TimelineRecorder` that also notes what each block holds.

    Attributes:
        notes: by number of the allocation.

    Args:
        twin: the twin whose allocations are recorded.
        ranks: ranks of the model's adapters, which tell the adapters' tensors from others.
    """

    def __init__(self, twin: Twin, ranks: Iterable[int] = ()) -> None:
        super().__init__(twin)
        self.notes: dict[int, BlockNote] = {}
        self._ranks = tuple(ranks)
        self._names: dict[int, str] = {}
        self._make_saved: Callable[[], SavedTensorsRecorder] | None = None
        self._saved: SavedTensorsRecorder | None = None
        self._watching = ExitStack()
        self._needs: NeedsRecorder | None = None

    def follow(self, prepared: Prepared, inputs: Iterable[Tensor], paths: ModulePaths) -> None:
        """Name modules, weights and inputs from here on, and watch saved tensors and the loss.

        To be called when the model is built.
        """
        inputs = tuple(inputs)
        super().follow(prepared, inputs, paths)
        model = prepared.model
        self._names = {id(parameter): name for name, parameter in model.named_parameters()}
        for name, parameter in model.named_parameters():
            self._note_tensor(parameter, name=name, role="trained" if parameter.requires_grad else "frozen")
        for name, buffer in model.named_buffers():
            self._note_tensor(buffer, name=name, role="buffer")
        for tensor in prepared.optimizer_tensors:
            self._note_tensor(tensor, role="the method's own")
        self._make_saved = lambda: SavedTensorsRecorder(
            model, device_type="cuda", before=inputs, ranks=self._ranks, otherwise=False
        )
        self._needs = NeedsRecorder(model)
        # transformers' layers take seconds to import, and whoever reads what was recorded needs none.
        from transformers.modeling_layers import GradientCheckpointingLayer

        for module in model.modules():
            if isinstance(module, GradientCheckpointingLayer):
                module.register_forward_pre_hook(self._note_layer_inputs, with_kwargs=True)

    def malloc(self, requested_bytes: int) -> LoggedBlock:
        """Return a block from the allocator, and note the tensor that it is for.

        Raises:
            SimOutOfMemoryError: the device has no room for it; the error names module and operation.
        """
        held = super().malloc(requested_bytes)
        newborn = self._twin.mode.newborn
        if newborn is not None:
            recomputed = self._paths is not None and self._paths.recomputing
            self.notes[held.number] = BlockNote(
                shape=tuple(newborn.shape), dtype=_dtype(newborn), recomputed=recomputed
            )
        return held

    def phase_started(self, phase: Phase) -> None:
        """Start the phase; in forward, start to record saved tensors."""
        super().phase_started(phase)
        if phase == "forward":
            assert self._make_saved is not None
            assert self._needs is not None
            self._saved = self._make_saved()
            self._watching.enter_context(self._saved)
            self._watching.enter_context(self._needs)

    def phase_ended(self, phase: Phase) -> None:
        """End the phase, and note which blocks hold saved tensors, gradients or optimizer state."""
        super().phase_ended(phase)
        assert self._prepared is not None
        if phase == "forward":
            self._note_saved()
        if phase == "backward":
            for parameter in self._prepared.model.parameters():
                if parameter.grad is not None:
                    self._note_tensor(parameter.grad, name=self._names[id(parameter)])
        if phase == "optimizer":
            self._note_optimizer()

    def gradient_formed(self, parameter: nn.Parameter, gradient: Tensor) -> None:
        """Note what a gradient is of that will not live until backward ends."""
        super().gradient_formed(parameter, gradient)
        self._note_tensor(gradient, name=self._names[id(parameter)])

    def close(self) -> None:
        """Stop recording saved tensors, which also works in the midst of a forward."""
        self._watching.close()
        self._saved = None

    def _note_saved(self) -> None:
        assert self._saved is not None
        assert self._needs is not None
        needs = self._needs.needs()
        for storage, saved in self._saved.held():
            held = self._twin.mode.block_of_storage(storage)
            if held is not None:
                self._add(held, saved=saved, needs=needs.get(int(storage._cdata), ()))
        self.close()

    def _note_layer_inputs(self, layer: Any, args: Any, kwargs: Any) -> None:
        for value in tree_iter((args, kwargs)):
            held = self._twin.mode.block_of(value) if isinstance(value, Tensor) else None
            if held is not None:
                self._add(held, into_layer=True)

    def _note_optimizer(self) -> None:
        assert self._prepared is not None
        for key, state in self._prepared.optimizer.state.items():
            # Of a parameter, as in PyTorch, or of what the optimizer itself names, as PEFT's do.
            name = key if isinstance(key, str) else self._names.get(id(key), "")
            for role, value in state.items():
                if isinstance(value, Tensor) and value.is_cuda:
                    self._note_tensor(value, name=name, role=role)

    def _note_tensor(self, tensor: Tensor, **fields: Any) -> None:
        held = self._twin.mode.block_of(tensor)
        if held is not None:
            self._add(held, shape=tuple(tensor.shape), dtype=_dtype(tensor), **fields)

    def _add(self, held: LoggedBlock, **fields: Any) -> None:
        self.notes[held.number] = replace(self.notes.get(held.number, BlockNote()), **fields)


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
