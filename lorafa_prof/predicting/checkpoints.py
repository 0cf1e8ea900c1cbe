"""Checkpoints that a script writes: they hold no weights, of which a twin has only the shapes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from lorafa_prof.instruments.user_line import user_line
from lorafa_prof.models.replaced import replaced
from lorafa_prof.predicting.notes import Notes


@contextmanager
def checkpoints_without_weights(notes: Notes, dry: Sequence[Path]) -> Iterator[None]:
    """A context in which `torch.save` and safetensors write zeros for what is on the device.

    Args:
        notes: is told where that is.
        dry: folders to which they write nothing.
    """
    folders = [folder.resolve() for folder in dry]

    def writing(write: Callable[..., Any], place: int) -> Callable[..., Any]:
        def written(*args: Any, **kwargs: Any) -> Any:
            file = args[place] if len(args) > place else kwargs.get("f", kwargs.get("filename"))
            if isinstance(file, str | os.PathLike) and _is_below(Path(file), folders):
                notes.once("dry", f"weights were not written, by --dry, such as {Path(file).name}")
                return None
            notes.once(
                "weights written",
                f"weights that {user_line() or 'a library'} writes are zeros (--dry FOLDER writes none)",
            )
            return write(*args, **kwargs)

        return written

    safetensors = import_module("safetensors.torch")
    with ExitStack() as stack:
        stack.enter_context(
            replaced(torch.UntypedStorage, {"cpu": _zeros_of_device(torch.UntypedStorage.cpu)})
        )
        stack.enter_context(replaced(torch, {"save": writing(torch.save, 1)}))
        stack.enter_context(replaced(safetensors, {"serialize_file": writing(safetensors.serialize_file, 1)}))
        yield


def _is_below(file: Path, folders: Sequence[Path]) -> bool:
    return any(file.resolve().is_relative_to(folder) for folder in folders)


def _zeros_of_device(cpu: Callable[..., Any]) -> Callable[..., Any]:
    def copied(storage: torch.UntypedStorage) -> Any:
        if storage.device.type != "cuda":
            return cpu(storage)
        return torch.zeros(storage.nbytes(), dtype=torch.uint8).untyped_storage()

    return copied
