"""The model and the optimizers of code that names none: whichever are called."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim import Optimizer

from lorafa_prof.instruments.memory.storages import model_tensors, optimizer_tensors, storage_bytes
from lorafa_prof.layers.quantized.state import number_of_weights


class ModelSeen:
    """A context that notes the first module with parameters that is called, and what optimizes.

    Args:
        model: the model, if it is known.
        device_type: of the storages that are counted.
        first_call: called right before the first call of such a module.
    """

    def __init__(
        self, model: nn.Module | None, device_type: str, first_call: Callable[[], None] = lambda: None
    ) -> None:
        self._first_call = first_call
        self.sizes: dict[str, int] = {}
        self.name = ""
        self._device_type = device_type
        self._model = weakref.ref(model) if model is not None else None
        self._optimizers: list[weakref.ref[Optimizer]] = []
        self._handle: Any = None

    def __enter__(self) -> ModelSeen:
        self._handle = register_module_forward_pre_hook(self._called)
        return self

    def __exit__(self, *exc: Any) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _called(self, module: nn.Module, args: Any) -> None:
        if next(module.parameters(), None) is not None:
            self._model = self._model or weakref.ref(module)
            self.__exit__()
            self._first_call()

    def optimizer_started(self, optimizer: Optimizer) -> None:
        """Keep which it is, and how large its gradients are."""
        if any(known() is optimizer for known in self._optimizers):
            return
        self._optimizers.append(weakref.ref(optimizer))
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        on_device = [grad for grad in grads if grad.device.type == self._device_type]
        self.sizes["gradients_bytes"] = self.sizes.get("gradients_bytes", 0) + storage_bytes(on_device)

    def note_sizes(self) -> None:
        """Note the sizes of model and optimizers, while they live; to be called after a step."""
        model = self._model() if self._model is not None else None
        if model is not None:
            self.name = type(model).__name__
            parameters = list(model.parameters())
            here = [t for t in model_tensors(model) if t.device.type == self._device_type]
            self.sizes |= {
                "params_total": sum(number_of_weights(p) for p in parameters),
                "params_trainable": sum(p.numel() for p in parameters if p.requires_grad),
                "weights_bytes": storage_bytes(here),
            }
        optimizers = [known for reference in self._optimizers if (known := reference()) is not None]
        if optimizers:
            states = [t for one in optimizers for t in optimizer_tensors(one, self._device_type)]
            self.sizes["optimizer_bytes"] = storage_bytes(states)
