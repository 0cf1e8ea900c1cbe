"""Files of weights, read for their shapes alone."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import import_module
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.unknown_on_host import UnknownOnHost
from lorafa_prof.models.replaced import replaced

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}


def weight_files_as_shapes(unknown: UnknownOnHost) -> AbstractContextManager[None]:
    """A context in which transformers reads the floats of safetensors files as tensors without values.

    Their memory on the host is taken and never touched, so that it costs none. Integers are read.
    """
    modeling: Any = import_module("transformers.modeling_utils")
    return replaced(modeling, {"safe_open": _opened(modeling.safe_open, unknown)})


def _opened(safe_open: Any, unknown: UnknownOnHost) -> Any:
    def opened(*args: Any, **kwargs: Any) -> _File:
        return _File(safe_open(*args, **kwargs), unknown)

    return opened


class _File:
    """A safetensors file that is open."""

    def __init__(self, file: Any, unknown: UnknownOnHost) -> None:
        self._file = file
        self._unknown = unknown

    def __enter__(self) -> _File:
        self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def get_slice(self, name: str) -> Any:
        piece = self._file.get_slice(name)
        return _Shape(piece, self._unknown) if piece.get_dtype() in _TYPES else piece

    def get_tensor(self, name: str) -> Tensor:
        tensor: Tensor = self.get_slice(name)[...]
        return tensor


class _Shape:
    """A tensor of a file, of which a part is taken by its shape."""

    def __init__(self, piece: Any, unknown: UnknownOnHost) -> None:
        self._piece = piece
        self._unknown = unknown

    def __getattr__(self, name: str) -> Any:
        return getattr(self._piece, name)

    def __getitem__(self, index: Any) -> Tensor:
        dtype = _TYPES[self._piece.get_dtype()]
        shape = self._piece.get_shape()
        part = torch.empty(shape, dtype=dtype, device="meta")[index]
        tensor = torch.empty(part.shape, dtype=dtype)
        self._unknown.note(tensor)
        return tensor
