"""What `lorafa-prof doctor` says of several GPUs and of several machines."""

from __future__ import annotations

import importlib.util
from itertools import combinations

from lorafa_prof.cli.capability import Capability
from lorafa_prof.errors import UsageError
from lorafa_prof.words.phrases import first_of

_MOST_NAMED = 4


def distributed_backends() -> Capability:
    """Whether PyTorch's distributed package is there, and what its processes can talk by."""
    import torch
    from torch import distributed

    name = "torch.distributed"
    if not distributed.is_available():
        return Capability(name, False, "this build of torch has none", "install another build of torch")
    nccl = distributed.is_nccl_available()
    backends = [
        *(["nccl " + ".".join(map(str, torch.cuda.nccl.version()))] if nccl else []),
        *(["gloo"] if distributed.is_gloo_available() else []),
    ]
    found = f"backends: {', '.join(backends) or 'none'}"
    if not nccl and torch.cuda.device_count() > 1:
        return Capability(name, False, found, "several GPUs need NCCL: install a CUDA build of torch")
    return Capability(name, bool(backends), found, "" if backends else "install another build of torch")


def gpu_peers() -> Capability:
    """Whether the GPUs of this machine reach each other's memory without the host between."""
    import torch

    name = "GPUs reach each other"
    count = torch.cuda.device_count()
    if count < 2:
        found = f"{count or 'no'} CUDA device{'' if count == 1 else 's'}"
        return Capability(name, False, found, "needs several GPUs in one machine")
    apart = [
        f"{one} and {other}"
        for one, other in combinations(range(count), 2)
        if not (
            torch.cuda.can_device_access_peer(one, other) and torch.cuda.can_device_access_peer(other, one)
        )
    ]
    if apart:
        found = f"of {count} GPUs, not {first_of(apart, _MOST_NAMED)}"
        return Capability(name, False, found, "NCCL goes through host memory there, which is slower")
    return Capability(name, True, f"all {count} GPUs have peer access")


def ray_cluster() -> Capability:
    """Whether sweeps can run on Ray, and on which cluster."""
    name = "sweeps on Ray"
    if importlib.util.find_spec("ray") is None:
        return Capability(name, False, "not installed: ray", "pip install 'lorafa-prof[ray]'")
    import ray

    from lorafa_prof.running.ray_cluster import OR_ALONE, check_answers, known_address

    version = f"ray {ray.__version__}"
    address = known_address()
    if address is None:
        return Capability(name, True, f"{version}; no cluster here: `--on ray` makes one for its run")
    try:
        check_answers(address)
    except UsageError as error:
        return Capability(name, False, f"{version}; {error}", OR_ALONE)
    return Capability(name, True, f"{version}; a cluster answers at {address}")
