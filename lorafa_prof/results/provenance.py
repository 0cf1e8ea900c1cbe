"""The provenance of a result: versions, GPU, driver, allocator settings, commit. No personal data."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from lorafa_prof import package
from lorafa_prof.cell import device_kind
from lorafa_prof.results.git import git_output

PACKAGES: tuple[str, ...] = (
    "lorafa-prof",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "triton",
    "liger-kernel",
    "bitsandbytes",
    "fvcore",
    "nvidia-ml-py",
    "numpy",
)
ALLOCATOR_VARIABLES: tuple[str, ...] = (
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_NO_CUDA_MEMORY_CACHING",
)


def environment(device: str) -> dict[str, Any]:
    """Return a description of the machine and software behind a result, in values that JSON can hold.

    An unknown value is None; where it matters why, a `reason` stands beside it. Host name, user and paths
    are left out. CUDA is initialised only for a CUDA device, never for ``cpu`` or ``sim:<gpu>``: a context
    costs hundreds of MiB on the very device that another process may be measuring.

    Args:
        device: where the step runs: ``cuda``, ``cuda:<n>``, ``cpu`` or ``sim:<gpu>``.
    """
    return {
        "device": device,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": _host(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "torch": _torch_build(),
        "allocator": {name: os.environ.get(name) for name in ALLOCATOR_VARIABLES},
        "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "gpu": _gpu(device) if device_kind(device) == "cuda" else None,
        "source": own_source_state(),
    }


def package_version(name: str) -> str | None:
    """Return the version of an installed distribution, or None if it is absent; imports nothing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _host() -> dict[str, Any]:
    import psutil

    return {
        "cpu": _cpu_model(),
        "cores_physical": psutil.cpu_count(logical=False),
        "cores_logical": psutil.cpu_count(logical=True),
        "memory_bytes": psutil.virtual_memory().total,
    }


def _cpu_model() -> str | None:
    info = Path("/proc/cpuinfo")
    if info.exists():
        match = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), flags=re.MULTILINE)
        if match:
            return match.group(1).strip()
    return platform.processor() or None


def _torch_build() -> dict[str, Any]:
    import torch

    return {"cuda": torch.version.cuda, "commit": torch.version.git_version}


def _gpu(device: str) -> dict[str, Any]:
    import torch

    from lorafa_prof.devices.gpus import find_gpu
    from lorafa_prof.instruments.nvml import torch_device_uuid

    if not torch.cuda.is_available():
        return {"name": None, "reason": "PyTorch sees no CUDA device"}
    chosen = torch.device(device).index
    index = torch.cuda.current_device() if chosen is None else chosen
    properties = torch.cuda.get_device_properties(index)
    entry = find_gpu(properties.name)
    uuid = torch_device_uuid(index)
    return {
        "name": properties.name,
        "catalogue_name": entry.name if entry else None,
        "uuid": uuid,
        "count": torch.cuda.device_count(),
        "memory_bytes": properties.total_memory,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "allocator_backend": torch.cuda.get_allocator_backend(),
        "cudnn": torch.backends.cudnn.version(),
        **_driver(uuid),
    }


def _driver(uuid: str) -> dict[str, str | None]:
    from lorafa_prof.instruments.nvml import Unavailable, open_device

    opened = open_device(uuid)
    if isinstance(opened, Unavailable):
        return {"driver": None, "reason": opened.reason}
    version = opened.driver_version()
    opened.close()
    if isinstance(version, Unavailable):
        return {"driver": None, "reason": version.reason}
    return {"driver": version}


def own_source_state() -> dict[str, Any]:
    """Return `source_state` for the package that runs."""
    return source_state(package.AROUND)


def source_state(root: Path) -> dict[str, Any]:
    """Return the commit of the checkout whose top is `root`, and whether the package in it differs from that.

    Only `root` itself counts: an installed package inside someone else's repository has no commit of its own.
    New files count as a difference, since a registry would load them.
    """
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None, "reason": "not a checkout"}
    try:
        commit = git_output(root, "rev-parse", "HEAD")
        changed = git_output(root, "status", "--porcelain", "--", "lorafa_prof")
    except subprocess.CalledProcessError as error:
        # git's messages name the folder, which may name a person.
        message = " ".join(error.stderr.replace(str(root), "<checkout>").split())
        return {"commit": None, "dirty": None, "reason": f"git: {message}"}
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"commit": None, "dirty": None, "reason": f"git: {type(error).__name__}"}
    return {"commit": commit.strip(), "dirty": bool(changed.strip())}
