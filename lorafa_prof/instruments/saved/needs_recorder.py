"""Recording what autograd needs each saved tensor for, at the end of a forward."""

from __future__ import annotations

from typing import Any

from torch import nn

from lorafa_prof.instruments.module_path import ModulePaths
from lorafa_prof.instruments.saved.needs import Need, needs_of


class NeedsRecorder:
    """A context around one forward of `model`, whose output has a ``loss``.

    Call `needs` while the loss lives.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._paths = ModulePaths(model)
        self._handle: Any = None
        self._loss_node: Any = None

    def __enter__(self) -> NeedsRecorder:
        self._paths.__enter__()
        self._paths.phase_started("forward")
        self._handle = self._model.register_forward_hook(self._keep_node)
        return self

    def __exit__(self, *exc: Any) -> None:
        self._handle.remove()
        self._paths.__exit__(*exc)
        self._loss_node = None  # it holds the whole graph

    def needs(self) -> dict[int, tuple[Need, ...]]:
        """Return what each saved tensor is needed for, by `storage_key`; empty before a forward has run."""
        if self._loss_node is None:
            return {}
        return needs_of(self._loss_node, self._model, self._paths.path_of)

    def _keep_node(self, module: Any, args: Any, output: Any) -> None:
        self._loss_node = output.loss.grad_fn
