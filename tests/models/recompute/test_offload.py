"""What `checkpointing: offload` moves, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from lorafa_prof.errors import UsageError
from lorafa_prof.models.recompute import host_memory, offload
from lorafa_prof.models.recompute.host_memory import HostMemory
from lorafa_prof.models.recompute.side_stream import SideStream

WIDTH, ROWS = 16, 32
BYTES = 8 * WIDTH * ROWS
OF_A_WEIGHT = 8 * WIDTH * WIDTH


class Layer(GradientCheckpointingLayer):
    """A layer that runs a function of its weight and its input."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(WIDTH, dtype=torch.float64) * 1.5)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.weight)


class Copies(SideStream):
    """A side stream that remembers the copies."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.sizes: list[int] = []

        self.waited: list[int] = []

    def copy(self, source: Tensor, target: Tensor) -> Any:
        super().copy(source, target)
        self.sizes.append(source.numel() * source.element_size())
        return len(self.sizes)

    def wait_for(self, event: Any) -> None:
        if event is not None:
            self.waited.append(event)


def squared(x: Tensor, weight: Tensor) -> Tensor:
    """Saves the product once, as both factors; the product saves x and the weight."""
    y = x @ weight
    return y * y


def run(
    monkeypatch: pytest.MonkeyPatch,
    share: float | None,
    layers: int = 4,
    function: Callable[[Tensor, Tensor], Tensor] = squared,
) -> tuple[list[Tensor], list[int], list[int]]:
    """Return gradients and the sizes of the copies in forward and in backward."""
    made: list[Copies] = []
    monkeypatch.setattr(offload, "SideStream", lambda device: made.append(Copies(device)) or made[0])
    model = nn.Sequential(*[Layer(function) for _ in range(layers)])
    if share is not None:
        offload.offload(model, share, smallest_bytes=OF_A_WEIGHT)
    x = torch.linspace(0.1, 1, WIDTH * ROWS, dtype=torch.float64).view(ROWS, WIDTH)
    loss = model(x).sum()
    forward = list(made[0].sizes) if made else []
    loss.backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return gradients, forward, made[0].sizes[len(forward) :] if made else []


@pytest.mark.parametrize(("share", "moved"), [(1.0, 8), (0.5, 3), (0.25, 1)])
def test_a_share_of_the_bytes_moves(monkeypatch: pytest.MonkeyPatch, share: float, moved: int) -> None:
    """Of 4 layers with two storages each; weights stay, and with less than all the last layer does."""
    expected, *_ = run(monkeypatch, None)
    gradients, forward, backward = run(monkeypatch, share)
    assert forward == backward == [BYTES] * moved
    assert all(map(torch.equal, gradients, expected))


def test_views_of_one_storage_move_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def halves(x: Tensor, weight: Tensor) -> Tensor:
        y = x @ weight
        a, b = y.split(ROWS // 2)
        return torch.cat([a.t() * a.t(), b.t() * b.t()], 1).t() * y.view(ROWS, 2, -1).flatten(1)

    expected, *_ = run(monkeypatch, None, 1, halves)
    gradients, forward, _ = run(monkeypatch, 1.0, 1, halves)
    assert all(map(torch.equal, gradients, expected))
    assert len(forward) == 3  # x, y, and the cat


def test_host_memory_is_used_again_when_all_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_memory, "_SLAB_BYTES", 2048)
    host = HostMemory(torch.device("cpu"))
    holders = [nn.Module() for _ in range(3)]
    first, second, third = (host.take(1000, holder).data_ptr() for holder in holders)
    assert second == first + 1024  # aligned
    assert not first <= third < first + 2048  # of a second slab
    assert len(host.take(5000, holders[0])) == 5000
    del holders[1:]
    assert host.take(10, holders[0]).data_ptr() != first
    holders.clear()
    assert host.take(1000, nn.Module()).data_ptr() == first


def test_a_forward_without_backward_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[HostMemory] = []

    def make(device: torch.device) -> HostMemory:
        made.append(HostMemory(device))
        return made[-1]

    monkeypatch.setattr(offload, "HostMemory", make)
    model = nn.Sequential(Layer(squared), Layer(squared))
    offload.offload(model, 1.0, smallest_bytes=BYTES)
    x = torch.ones(ROWS, WIDTH, dtype=torch.float64)
    for _ in range(3):
        model(x)
        with torch.no_grad():
            model(x)
    (host,) = made
    assert len(host._holders) == 0


def test_what_comes_back_and_is_not_wanted_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the memory is given away while the copy to it is under way."""
    copies = Copies(torch.device("cpu"))
    monkeypatch.setattr(offload, "SideStream", lambda device: copies)
    model = nn.Sequential(Layer(squared), Layer(squared))
    offload.offload(model, 1.0, smallest_bytes=BYTES)
    loss = model(torch.ones(ROWS, WIDTH, dtype=torch.float64)).sum()
    forward = len(copies.sizes)
    torch.autograd.grad(loss, model.get_submodule("1").weight)
    assert len(copies.sizes) == 2 * forward
    del loss
    assert set(copies.waited) >= set(range(forward + 1, 2 * forward + 1))


def test_a_model_without_layers() -> None:
    with pytest.raises(UsageError, match="'offload' finds no layers in a Sequential"):
        offload.offload(nn.Sequential(nn.Linear(2, 2)), 1.0)
