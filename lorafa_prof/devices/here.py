"""The GPU of this machine, and its entry in the catalogue."""

from __future__ import annotations

import torch

from lorafa_prof.devices.gpus.gpu import Gpu, find_gpu
from lorafa_prof.errors import UsageError


def gpu_here() -> Gpu:
    """Return the catalogue's entry of the CUDA GPU that PyTorch sees.

    Raises:
        UsageError: there is no such GPU, or the catalogue does not have it.
    """
    if not torch.cuda.is_available():
        raise UsageError("verify needs a CUDA GPU; it compares the twin with it")
    name = torch.cuda.get_device_name()
    gpu = find_gpu(name)
    if gpu is None:
        raise UsageError(
            f"the GPU here, '{name}', is not in the catalogue, so it has no twin; add it to "
            "lorafa_prof/devices/gpus/catalogue or by an entry point lorafa_prof.gpus"
        )
    return gpu
