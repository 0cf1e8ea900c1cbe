"""What a model chooses by numbers that the twin does not know: even, and said where anything hangs on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.errors import LorafaProfError

ROWS, EXPERTS = 12, 4


@pytest.fixture
def twin() -> Iterator[Twin]:
    with Twin(GPUS["h100-80gb"]) as twin:
        yield twin


def scores(*size: int) -> Tensor:
    return torch.empty(*size, device="cuda")


@pytest.mark.parametrize(
    ("choose", "chosen"),
    [
        (lambda: scores(ROWS, EXPERTS).topk(2).indices, 2),
        (lambda: scores(3, 4, EXPERTS).topk(2, dim=-1, sorted=False).indices, 2),
        (lambda: scores(EXPERTS, ROWS).topk(2, dim=0).indices, 2),
        (lambda: scores(ROWS, EXPERTS).argmax(dim=-1), 1),
        (lambda: scores(3, EXPERTS, 4).argmax(1, keepdim=True), 1),
        (lambda: scores(ROWS, EXPERTS).max(dim=-1).indices, 1),
    ],
)
def test_each_expert_is_chosen_as_often_as_any_other(
    choose: Callable[[], Tensor], chosen: int, twin: Twin
) -> None:
    experts = choose()
    assert twin.mode.assumed == set()  # nothing hangs on it yet
    counts = torch.histc(experts.int(), bins=EXPERTS, min=0, max=EXPERTS - 1)
    assert counts.tolist() == [ROWS * chosen // EXPERTS] * EXPERTS
    assert twin.mode.assumed == {"even"}


def test_no_row_chooses_an_expert_twice(twin: Twin) -> None:
    experts = scores(7, 5).topk(3).indices.cpu()
    assert all(len(set(row)) == 3 for row in experts.tolist())


def test_tokens_of_an_expert_have_a_shape(twin: Twin) -> None:
    mask = torch.nn.functional.one_hot(scores(ROWS, EXPERTS).topk(2).indices, EXPERTS).permute(2, 1, 0)
    for expert in range(EXPERTS):
        places, tokens = torch.where(mask[expert])
        assert len(places) == len(tokens) == ROWS * 2 // EXPERTS
    assert twin.mode.assumed == {"even"}


def test_a_choice_by_known_numbers_is_no_assumption(twin: Twin) -> None:
    assert torch.tensor([1, 9, 3], device="cuda").argmax(0).item() == 1
    assert torch.arange(4, device="cuda").topk(2).indices.tolist() == [3, 2]
    assert twin.mode.assumed == set()


def test_the_largest_of_all_is_not_chosen_along_a_dimension(twin: Twin) -> None:
    with pytest.raises(LorafaProfError, match=r"depends on values|reads a value"):
        scores(ROWS).argmax().item()


def test_the_host_computes_values_with_one_thread_and_then_as_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        with Twin(GPUS["h100-80gb"]):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
