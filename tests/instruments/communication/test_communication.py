"""What two ranks of a tiny model send each other, against what FSDP2 and DDP are said to send."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from on_ranks import on_ranks
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell
from lorafa_prof.instruments.communication.counter import Communication, CommunicationCounter
from lorafa_prof.parallel.shard import Shard
from lorafa_prof.running.prepare import prepare_step


def communication(cell: Cell) -> tuple[Communication, int, int]:
    """Of the third step, with the bytes of all weights and of those that train."""
    prepared, step = prepare_step(cell, torch.device("cpu"))
    params = list(prepared.model.parameters())
    step.run()
    step.run()
    with CommunicationCounter(prepared.model) as counter:
        step.run((counter,))
    itemsize = params[0].element_size()
    trained = sum(p.numel() for p in params if p.requires_grad)
    return counter.communication(), itemsize * sum(p.numel() for p in params), itemsize * trained


def two_ranks(method: str, parallel: str, **settings: Any) -> tuple[Communication, int, int]:
    one, other = on_ranks(
        communication, tiny_cell("tiny-llama", method, parallel=parallel, gpus=2, **settings)
    )
    assert one == other
    return one  # type: ignore[no-any-return]


def by_phase(communication: Communication) -> dict[tuple[str, str], int]:
    assert all(
        sent.sent_bytes == sent.bytes // 2 * (1 + (sent.collective == "all_reduce"))
        for sent in communication.sent
    )
    return {(sent.phase, sent.collective): sent.bytes for sent in communication.sent}


@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa"])
@pytest.mark.parametrize("reshard", [True, False])
def test_fsdp2_gathers_all_and_reduces_what_trains(method: str, reshard: bool) -> None:
    found, weights, trained = two_ranks(method, "fsdp2", shard=Shard(reshard_after_forward=reshard))
    expected = {("forward", "all_gather"): weights, ("backward", "reduce_scatter"): trained}
    if reshard:
        expected["backward", "all_gather"] = weights
    assert by_phase(found) == expected
    assert (found.buffers_bytes["unsharded_parameters"] == weights) == (not reshard)


def test_what_is_gathered_in_bf16_is_reduced_in_fp32() -> None:
    found, weights, trained = two_ranks("lora-fa", "fsdp2", shard=Shard(mp="bf16"))
    assert by_phase(found) == {
        ("forward", "all_gather"): weights // 2,
        ("backward", "all_gather"): weights // 2,
        ("backward", "reduce_scatter"): trained,
    }


@pytest.mark.parametrize("accumulation", [1, 3])
def test_ddp_reduces_what_trains_once_a_step_in_buckets_of_its_own(accumulation: int) -> None:
    found, _, trained = two_ranks("lora-fa", "ddp", accumulation=accumulation)
    sent = by_phase(found)
    del sent["forward", "broadcast"]  # of the model's buffers
    assert sent == {("backward", "all_reduce"): trained}
    assert found.buffers_bytes == {"all_reduce": trained}
