"""Gradients are clipped by their common norm, and on shapes alone by the same operations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from operations import Operations
from torch import nn

from lorafa_prof.instruments.memory.storages import StorageFollower
from lorafa_prof.optim import clipping
from lorafa_prof.optim.clipping import clip_gradients


def parameters(device: str = "cpu", *dtypes: torch.dtype) -> list[nn.Parameter]:
    """Three with a gradient of 2s, one that is frozen, and one that trains but has no gradient."""
    made = [
        nn.Parameter(torch.ones(4, device=device, dtype=dtype)) for dtype in dtypes or [torch.float32] * 3
    ]
    for parameter in made:
        parameter.grad = torch.full_like(parameter, 2.0)
    frozen = nn.Parameter(torch.ones(4, device=device), requires_grad=False)
    return [*made, frozen, nn.Parameter(torch.ones(4, device=device))]


def norm_of(params: list[nn.Parameter]) -> float:
    return float(torch.cat([p.grad for p in params if p.grad is not None]).norm())


def test_a_norm_above_the_limit_becomes_the_limit_and_one_below_stays() -> None:
    params = parameters()
    assert norm_of(params) == pytest.approx(2 * 12**0.5)
    clip_gradients(iter(params), 7.0)
    assert all(p.grad.eq(2.0).all() for p in params if p.grad is not None)
    clip_gradients(iter(params), 0.5)
    assert norm_of(params) == pytest.approx(0.5, rel=1e-5)


def test_what_is_frozen_has_no_part_in_it() -> None:
    params = parameters()
    params[0].requires_grad_(False)
    clip_gradients(params, 0.5)
    assert params[0].grad is not None
    assert params[0].grad.eq(2.0).all()
    assert norm_of(params[1:]) == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("dtypes", [(torch.float32,) * 3, (torch.bfloat16, torch.float32, torch.bfloat16)])
def test_shapes_alone_see_the_operations_of_the_real_thing(dtypes: tuple[torch.dtype, ...]) -> None:
    with Operations() as real:
        clip_gradients(parameters("cpu", *dtypes), 0.5)
    with Operations() as shapes:
        clip_gradients(parameters("meta", *dtypes), 0.5)
    clips = [name for name in real.names if "foreach" in name or "norm" in name]
    assert clips == [name for name in shapes.names if "foreach" in name or "norm" in name]
    assert sum("_foreach_norm" in name for name in clips) == len(set(dtypes))
    if len(set(dtypes)) == 1:
        assert real.names[-len(clips) :] == shapes.names[-len(clips) :]


def test_shapes_alone_have_the_peak_of_the_real_thing() -> None:
    peaks = []
    for device in ("cpu", "meta"):
        params = parameters(device)
        with StorageFollower(device) as follower:
            clip_gradients(params, 0.5)
        peaks.append(follower.peak_bytes)
    assert peaks[0] == peaks[1] > 0


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_no_gradient_at_all_is_nothing_to_do(device: str) -> None:
    clip_gradients(parameters(device)[3:], 0.5)


@pytest.mark.parametrize(
    ("device", "foreach"),
    [
        ("cpu", None),
        pytest.param(
            "cuda",
            True,
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
            ],
        ),
    ],
)
def test_the_way_is_chosen_by_device(
    device: str, foreach: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    real = clipping.clip_grad_norm_
    monkeypatch.setattr(
        clipping, "clip_grad_norm_", lambda *args, **kwargs: told.append(kwargs) or real(*args, **kwargs)
    )
    params = parameters(device)
    clip_gradients(params, 0.5)
    assert told == [{"foreach": foreach}]
    assert norm_of(params) == pytest.approx(0.5, rel=1e-5)
