"""What a script meets beside the twin: pinned memory, `torch.compile`, and files of weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.unknown_on_host import UnknownOnHost
from lorafa_prof.instruments.user_line import user_line
from lorafa_prof.models.replaced import replaced
from lorafa_prof.predicting.checkpoints import checkpoints_without_weights
from lorafa_prof.predicting.notes import Notes
from lorafa_prof.predicting.weight_files import weight_files_as_shapes

#: transformers moves weights to the device in threads, in which no twin is on.
_ENVIRONMENT = {"HF_DEACTIVATE_ASYNC_LOAD": "1"}

#: The state of a GPU's generator, which draws nothing here, lies on the host: a seed and an offset.
_RANDOM_STATES: dict[str, Callable[..., Any]] = {
    "get_rng_state": lambda device="cuda": torch.zeros(16, dtype=torch.uint8),
    "get_rng_state_all": lambda: [torch.zeros(16, dtype=torch.uint8)],
    "set_rng_state": lambda state, device="cuda": None,
    "set_rng_state_all": lambda states: None,
}


@contextmanager
def surroundings(notes: Notes, unknown: UnknownOnHost, dry: Sequence[Path]) -> Iterator[None]:
    """A context in which a script finds what it would find beside a GPU, as far as memory goes.

    Args:
        notes: gets what a reader must know.
        unknown: gets the weights that are read.
        dry: folders to which no weights are written.
    """
    with ExitStack() as stack:
        stack.enter_context(_environment())
        stack.enter_context(
            replaced(Tensor, {"pin_memory": _itself, "is_pinned": lambda tensor, device=None: False})
        )
        stack.enter_context(replaced(torch, {"compile": _compile(notes)}))
        stack.enter_context(replaced(torch.nn.Module, {"compile": _compile_module(notes)}))
        for module in (torch.cuda, torch.cuda.random):
            stack.enter_context(replaced(module, _RANDOM_STATES))
        stack.enter_context(weight_files_as_shapes(unknown))
        stack.enter_context(checkpoints_without_weights(notes, dry))
        yield


def _itself(tensor: Tensor, device: Any = None) -> Tensor:
    """The host's memory is no part of the prediction."""
    return tensor


def _compile(notes: Notes) -> Any:
    def compile(model: Any = None, **options: Any) -> Any:
        _note_compiled(notes)
        return model if model is not None else lambda function: function

    return compile


def _compile_module(notes: Notes) -> Any:
    def compile(module: torch.nn.Module, *args: Any, **options: Any) -> None:
        _note_compiled(notes)

    return compile


def _note_compiled(notes: Notes) -> None:
    notes.once(
        "compile",
        f"torch.compile at {user_line() or 'a library'} is left out: what is predicted is the step as it is "
        "written, which mostly takes more",
    )


@contextmanager
def _environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
