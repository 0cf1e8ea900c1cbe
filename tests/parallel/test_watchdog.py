from __future__ import annotations

import pytest

from lorafa_prof.parallel import watchdog
from lorafa_prof.parallel.watchdog import await_watchdog


@pytest.mark.parametrize(
    ("parallel", "backend", "waits"),
    [("ddp", "nccl", True), ("ddp", "gloo", False), ("fsdp2", "nccl", False), ("none", "", False)],
)
def test_only_what_ddp_reduces_on_gpus_is_waited_for(monkeypatch, parallel, backend, waits):
    done = []
    monkeypatch.setattr(watchdog.dist, "get_backend", lambda: backend)
    monkeypatch.setattr(watchdog.torch.cuda, "synchronize", lambda: done.append("kernels"))
    monkeypatch.setattr(watchdog.time, "sleep", lambda seconds: done.append(seconds >= 0.2))
    await_watchdog(parallel)
    assert done == (["kernels", True] if waits else [])
