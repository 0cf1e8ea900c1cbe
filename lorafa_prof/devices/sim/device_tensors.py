"""CUDA tensors with a shape, a type and a storage of the right size, and no memory behind them.

They are plain tensors: PyTorch makes them from a DLPack description with an address that nothing reads. No
kernel of CUDA may run on them; a dispatch mode runs their operations on `meta` tensors of the same shapes.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

DEVICE = torch.device("cuda", 0)
_META = torch.device("meta")
_ALIGNMENT = 512
#: Above all addresses that a process can have.
_FIRST_ADDRESS = 1 << 56
_DLPACK_CUDA = 2
_INT, _UINT, _FLOAT, _BFLOAT, _COMPLEX, _BOOL = 0, 1, 2, 4, 5, 6
_TYPES = {
    torch.bool: _BOOL,
    torch.uint8: _UINT,
    torch.uint16: _UINT,
    torch.uint32: _UINT,
    torch.uint64: _UINT,
    torch.int8: _INT,
    torch.int16: _INT,
    torch.int32: _INT,
    torch.int64: _INT,
    torch.float16: _FLOAT,
    torch.float32: _FLOAT,
    torch.float64: _FLOAT,
    torch.bfloat16: _BFLOAT,
    torch.complex64: _COMPLEX,
    torch.complex128: _COMPLEX,
}

_set_meta = torch._C._set_meta_in_tls_dispatch_include
_is_meta = torch._C._meta_in_tls_dispatch_include
_from_dlpack: Any = torch._C._from_dlpack
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)


class _Description(ctypes.Structure):
    """DLManagedTensor (dlpack.h), with DLTensor's fields in it."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


#: By size, stride and type: a description, its address, and the bytes up to the next tensor's. They are kept
#: for good, since PyTorch looks at a tensor's description when the tensor dies, which may be after its twin.
_descriptions: dict[Any, tuple[_Description, int, int]] = {}


class DeviceTensors:
    """Makes CUDA tensors, each with a storage and an address of its own."""

    def __init__(self) -> None:
        self._address = _FIRST_ADDRESS

    def empty_strided(self, size: Any, stride: Any, dtype: torch.dtype) -> Tensor:
        """Return a new tensor whose storage is just as large as it needs."""
        key = (size, stride, dtype)
        known = _descriptions.get(key)
        if known is None:
            if dtype not in _TYPES:
                return self._of_another_type(size, stride, dtype)
            known = _descriptions[key] = _described(size, stride, dtype)
        description, address, room = known
        if room:
            description.data = self._address
            self._address += room
        tensor: Tensor = _from_dlpack(_new_capsule(address, b"dltensor", None))
        return tensor

    def bytes(self, count: int) -> Tensor:
        """Return a new tensor of `count` bytes."""
        return self.empty_strided((count,), (1,), torch.uint8)

    def _of_another_type(self, size: Any, stride: Any, dtype: torch.dtype) -> Tensor:
        shape = torch.empty_strided(size, stride, dtype=dtype, device=_META)
        return view(self.bytes(shape.untyped_storage().nbytes()), shape)


def _described(size: Any, stride: Any, dtype: torch.dtype) -> tuple[_Description, int, int]:
    """Return the description of such a tensor, its address, and how far the next one's data is."""
    count = len(size)
    numbers = ctypes.c_int64 * count
    description = _Description(
        None,
        _DLPACK_CUDA,
        0,
        count,
        _TYPES[dtype],
        8 * dtype.itemsize,
        1,
        numbers(*size),
        numbers(*stride),
    )
    last = sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    size_bytes = 0 if 0 in size else (last + 1) * dtype.itemsize
    return description, ctypes.addressof(description), -(-size_bytes // _ALIGNMENT) * _ALIGNMENT


def view(base: Tensor, shape: Tensor) -> Tensor:
    """Return a view of the storage of `base`, on the device, of the shape and type of `shape`."""
    with on_shapes():
        if base.dtype != shape.dtype:
            whole = base.as_strided((base.untyped_storage().nbytes() // base.element_size(),), (1,), 0)
            base = whole.view(torch.uint8).view(shape.dtype) if shape.numel() else whole.view(torch.uint8)
        return base.as_strided(shape.size(), shape.stride(), shape.storage_offset())


class on_shapes:
    """A context in which operations run by their kernels for `meta`, whatever their tensors' device.

    Views of a device tensor are device tensors then; new tensors are on `meta`. With False it is off.
    """

    __slots__ = ("_before", "_on")

    def __init__(self, on: bool = True) -> None:
        self._on = on

    def __enter__(self) -> None:
        self._before = _is_meta()
        _set_meta(self._on)

    def __exit__(self, *exc: object) -> None:
        _set_meta(self._before)


class Shadows:
    """`meta` tensors that stand for device tensors in one operation, and device tensors for new ones."""

    def __init__(self, tensors: DeviceTensors) -> None:
        self._tensors = tensors
        self._storages: dict[int, torch.UntypedStorage] = {}
        self._bases: dict[int, Tensor] = {}
        self._originals: dict[int, tuple[Tensor, Tensor]] = {}

    def shape_of(self, tensor: Tensor) -> Tensor:
        """Return a tensor on `meta` for one on the device; shared storages stay shared."""
        if not tensor.is_cuda:
            return tensor
        storage = tensor.untyped_storage()
        shadow = self._storages.get(storage._cdata)
        if shadow is None:
            shadow = self._storages[storage._cdata] = torch.UntypedStorage(storage.nbytes(), device=_META)
            self._bases[shadow._cdata] = tensor
        shape = torch.empty(0, dtype=tensor.dtype, device=_META)
        shape.set_(shadow, tensor.storage_offset(), tensor.size(), tensor.stride())
        self._originals[id(shape)] = (shape, tensor)
        return shape

    def on_device(self, shape: Tensor) -> Tensor:
        """Return the device tensor for one on `meta`, a view where its storage has one."""
        if not shape.is_meta:
            return shape
        original = self._originals.get(id(shape))
        if original is not None:
            return original[1]
        storage = shape.untyped_storage()
        base = self._bases.get(storage._cdata)
        if base is not None:
            made = view(base, shape)
        else:
            made = self._tensors.empty_strided(shape.size(), shape.stride(), shape.dtype)
            size_bytes = storage.nbytes()
            if shape.storage_offset() or made.untyped_storage().nbytes() != size_bytes:
                made = view(self._tensors.bytes(size_bytes), shape)
            self._storages[made.untyped_storage()._cdata] = storage
            self._bases[storage._cdata] = made
        self._originals[id(shape)] = (shape, made)
        return made

    def follow_resizing(self) -> None:
        """Resize device tensors, such as an `out`, whose shapes on `meta` were resized."""
        for shape, tensor in self._originals.values():
            if shape.size() == tensor.size():
                continue
            if shape.untyped_storage().nbytes() > tensor.untyped_storage().nbytes():
                tensor.data = self._tensors.empty_strided(shape.size(), shape.stride(), shape.dtype)
            else:
                with on_shapes():
                    tensor.as_strided_(shape.size(), shape.stride())
