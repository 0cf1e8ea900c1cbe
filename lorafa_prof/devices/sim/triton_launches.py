"""Triton's kernels on the twin: their wrappers run, in Python as on the GPU; nothing is compiled or launched.

What that assumes: a kernel writes into tensors that its wrapper has made, and allocates nothing itself. So it
is of all kernels of this package, and of Liger's that `kernels: liger` runs; of others nobody has looked. A
kernel that is tuned when it first runs is another matter: its trials take memory of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from lorafa_prof.devices.sim.mode import TwinMode
from lorafa_prof.models.replaced import replaced

#: What names of kernels begin with whose wrappers were read.
_READ = ("triton lorafa_prof.", "triton liger_kernel.")


@contextmanager
def triton_launches(mode: TwinMode) -> Iterator[None]:
    """A context in which a launch of a Triton kernel is only told to `mode`."""
    if find_spec("triton") is None:
        yield
        return
    from triton.runtime.autotuner import Autotuner
    from triton.runtime.jit import JITFunction

    def run(kernel: Any, *args: Any, **kwargs: Any) -> None:
        mode.launch(f"triton {kernel.__module__}.{kernel.__name__}", _tensors(args, kwargs))

    def run_tuned(tuner: Any, *args: Any, **kwargs: Any) -> None:
        kernel = tuner.base_fn
        mode.launch(f"tuned triton {kernel.__module__}.{kernel.__name__}", _tensors(args, kwargs))

    with replaced(JITFunction, {"run": run}), replaced(Autotuner, {"run": run_tuned}):
        yield


def _tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    return [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]


def is_read(name: str) -> bool:
    """Return whether this is the name of a kernel that is known to allocate nothing."""
    return name.startswith(_READ)
