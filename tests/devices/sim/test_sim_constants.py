"""Floats made from constants have values on the twin, and a step is taken for healthy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from ledger import Ledger, on_meta, recording
from torch import Tensor, nn

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim import values
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.errors import LorafaProfError

FLOATS = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
LOWEST = torch.finfo(torch.float32).min


@pytest.fixture
def memory() -> Iterator[Ledger]:
    with recording() as ledger:
        yield ledger


def causal_mask(device: str, dtype: torch.dtype) -> Tensor:
    mask = torch.full((3, 3), torch.finfo(dtype).min, dtype=dtype, device=device).triu(diagonal=1)
    padding = torch.ones(2, 3, dtype=dtype, device=device)
    padding[0, 2] = 0
    mask = mask[None, :, :].expand(2, 3, 3).clone()
    return mask.masked_fill(padding[:, None, :] == 0, torch.finfo(dtype).min)


def rotary(device: str, dtype: torch.dtype) -> Tensor:
    frequencies = 1.0 / (100.0 ** (torch.arange(0, 4, 2, dtype=torch.int64, device=device).float() / 4))
    angles = torch.arange(3, device=device).float()[:, None] * frequencies[None, :]
    return torch.cat((angles, angles), dim=-1).cos().to(dtype)


def overwritten(device: str, dtype: torch.dtype) -> Tensor:
    rows = torch.zeros(2, 3, dtype=dtype, device=device)
    rows[1].fill_(2)
    rows += 1
    rows[:, 0] = torch.tensor([7.0, 8.0], dtype=dtype, device=device)
    return rows.mul_(torch.full_like(rows, 0.5))


def promoted(device: str, dtype: torch.dtype) -> Tensor:
    """One number with no dimension does not decide the type, as one among several does."""
    return torch.ones(3, dtype=dtype, device=device) * torch.full((), 2.0, dtype=torch.float64, device=device)


@pytest.mark.usefixtures("memory")
class TestKnown:
    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize("program", [causal_mask, rotary, overwritten, promoted])
    def test_a_program_of_constants_has_the_cpus_values(
        self, program: Callable[[str, torch.dtype], Tensor], dtype: torch.dtype
    ) -> None:
        known, expected = program("cuda", dtype), program("cpu", dtype)
        assert known.is_cuda
        assert (known.dtype, known.shape) == (expected.dtype, expected.shape)
        assert torch.equal(known.cpu(), expected)

    def test_a_mask_of_ones_is_seen_to_mask_nothing(self) -> None:
        assert torch.ones(2, 3, device="cuda").to(torch.bool).all()
        assert not torch.zeros(2, 3, device="cuda").any()

    def test_a_mask_from_the_host_that_masks_nothing_is_one_number(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mask = torch.ones(2, 8, dtype=torch.int64).to("cuda")
        monkeypatch.setattr(values, "LARGEST_BYTES", 64)
        assert not (1.0 - mask[:, None, None, :].expand(2, 1, 8, 8).float()).any()

    def test_bytes_seen_as_another_type_are_the_same_bytes(self) -> None:
        ones = torch.ones(3, device="cuda")
        assert ones.view(torch.int32).tolist() == [0x3F800000] * 3

    def test_a_constant_larger_than_what_is_kept_is_one_number(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(values, "LARGEST_BYTES", 64)
        large = torch.zeros(1000, device="cuda")
        assert (large + 2).max().item() == 2
        large.mul_(3).add_(1)
        assert large.sum().item() == 1000
        large[3] = 2  # no longer one number, and too many
        with pytest.raises(LorafaProfError):
            large.max().item()

    def test_what_one_operation_writes_counts_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(values, "LARGEST_BYTES", 64)
        states = [torch.zeros(8, device="cuda") for _ in range(3)]
        torch._foreach_mul_(states[:2], 0.5)
        assert states[0].max().item() == 0
        torch._foreach_mul_(states, 0.5)
        with pytest.raises(LorafaProfError):
            states[0].max().item()


@pytest.mark.usefixtures("memory")
class TestUnknown:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: torch.rand(3, device="cuda"),
            lambda: torch.zeros(3, device="cuda").normal_(),
            lambda: torch.empty(3, device="cuda"),
            lambda: nn.Parameter(torch.ones(3)).to("cuda"),
            lambda: torch.ones(3, device="cuda") * on_meta(3),
        ],
        ids=["drawn", "drawn into", "not written", "a weight of the host", "with what is unknown"],
    )
    def test_what_is_no_constant(self, make: Callable[[], Tensor]) -> None:
        with pytest.raises(LorafaProfError, match="that no constant gives"):
            make().sum().item()

    @pytest.mark.parametrize(
        "write",
        [
            lambda x: x.add_(on_meta(3)),
            lambda x: torch._foreach_add_([x, on_meta(3)], 1.0),
            lambda x: torch.mul(on_meta(3), 2.0, out=x),
            lambda x: torch._foreach_lerp_([x], [on_meta(3)], 0.1),
        ],
        ids=["first argument", "a list", "out", "a list of one"],
    )
    def test_what_an_unknown_is_written_to_is_forgotten(self, write: Callable[[Tensor], Any]) -> None:
        state = torch.zeros(3, device="cuda")
        write(state)
        with pytest.raises(LorafaProfError):
            state.sum().item()

    def test_a_trained_weight_is_no_longer_the_constant_it_began_as(self) -> None:
        weight = nn.Parameter(torch.ones(3, device="cuda"))
        (weight * on_meta(3)).sum().backward()
        optimizer = torch.optim.AdamW([weight], fused=True)
        optimizer.step()
        for tensor in (weight, optimizer.state[weight]["exp_avg"]):
            with pytest.raises(LorafaProfError):
                tensor.sum().item()


class TestHealthy:
    @pytest.mark.parametrize(
        "ask",
        [
            lambda x: not torch.isinf(x).any(),
            lambda x: torch.isfinite(x).all(),
            lambda x: not x.isnan().any().item(),
            lambda x: not torch.isneginf(x).any(),
            lambda x: not (x != x).any(),
        ],
    )
    def test_what_is_unknown_is_taken_for_finite_and_the_twin_remembers(
        self, ask: Callable[[Tensor], Any]
    ) -> None:
        with Twin(GPUS["h100-80gb"]) as twin:
            x = torch.empty(3, 4, device="cuda", dtype=torch.float16)
            torch.where(torch.isinf(x).any(), 1.0, 2.0)  # nothing hangs on it
            assert not twin.mode.assumed
            assert ask(x)
            assert twin.mode.assumed == {"finite"}

    def test_a_constant_that_is_infinite_is_not(self) -> None:
        with Twin(GPUS["h100-80gb"]) as twin:
            mask = torch.full((2, 2), float("-inf"), device="cuda")
            assert torch.isinf(mask).all()
            assert not torch.isfinite(mask).any()
            assert not twin.mode.assumed

    @pytest.mark.parametrize("ask", [lambda x: not torch.eq(x, 0), lambda x: x != 0.0])
    def test_one_unknown_number_is_taken_for_another_than_zero(self, ask: Callable[[Tensor], Any]) -> None:
        """As PEFT's VeLoRA asks of a norm before it divides by it."""
        with Twin(GPUS["h100-80gb"]) as twin:
            norm = torch.linalg.vector_norm(torch.empty(3, device="cuda"))
            assert not twin.mode.assumed
            assert ask(norm)
            assert twin.mode.assumed == {"nonzero"}
            assert not ask(torch.zeros((), device="cuda"))  # a constant is known

    def test_whether_some_of_many_numbers_are_zero_is_not_known(self) -> None:
        with Twin(GPUS["h100-80gb"]), pytest.raises(LorafaProfError, match="that no constant gives"):
            (torch.empty(3, device="cuda") == 0).any().item()

    def test_whether_a_score_is_masked_is_not_asked_of_health(self) -> None:
        with Twin(GPUS["h100-80gb"]), pytest.raises(LorafaProfError):
            (torch.empty(3, device="cuda") == float("-inf")).any().item()


def test_constants_take_no_memory_of_the_gpu_and_die_with_their_tensors(memory: Ledger) -> None:
    for _ in range(3):
        ones = torch.ones(8, device="cuda")
        doubled = ones * 2
        assert memory.held == 64
        assert doubled.sum().item() == 16
        del ones, doubled
    assert memory.held == 0
