"""What `doctor` says of several GPUs and machines, on machines that the tests make up."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest
import torch
from torch import distributed

from lorafa_prof.cli.several_machines import distributed_backends, gpu_peers, ray_cluster


def gpus(monkeypatch: pytest.MonkeyPatch, count: int, apart: tuple[tuple[int, int], ...] = ()) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "can_device_access_peer", lambda one, other: (one, other) not in apart)


def test_pairs_of_gpus_that_do_not_reach_each_other_are_named(monkeypatch):
    gpus(monkeypatch, 3)
    assert gpu_peers().ok
    assert gpu_peers().reason == "all 3 GPUs have peer access"
    gpus(monkeypatch, 3, apart=((2, 0),))
    assert not gpu_peers().ok
    assert gpu_peers().reason == "of 3 GPUs, not 0 and 2"
    for count, found in ((0, "no CUDA devices"), (1, "1 CUDA device")):
        gpus(monkeypatch, count)
        assert gpu_peers().reason == found


def test_backends_are_those_of_the_build_and_gpus_need_nccl(monkeypatch):
    gpus(monkeypatch, 0)
    monkeypatch.setattr(distributed, "is_nccl_available", lambda: False)
    monkeypatch.setattr(distributed, "is_gloo_available", lambda: True)
    assert distributed_backends().reason == "backends: gloo"
    assert distributed_backends().ok
    gpus(monkeypatch, 2)
    assert not distributed_backends().ok
    assert "NCCL" in distributed_backends().remedy
    monkeypatch.setattr(distributed, "is_nccl_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "nccl", SimpleNamespace(version=lambda: (2, 28, 9)))
    assert distributed_backends().reason == "backends: nccl 2.28.9, gloo"
    monkeypatch.setattr(distributed, "is_available", lambda: False)
    assert not distributed_backends().ok


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert ray_cluster().remedy == "pip install 'lorafa-prof[ray]'"


def test_whether_a_cluster_answers_where_one_is_said_to_be(monkeypatch, tmp_path):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'lorafa-prof[ray]'")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert ray_cluster().ok
    assert ray_cluster().reason.startswith(f"ray {ray.__version__}; no cluster here")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert not ray_cluster().ok
    assert "no Ray cluster answers at 127.0.0.1:1" in ray_cluster().reason
