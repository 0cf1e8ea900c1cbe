"""What a reader of a predicted row must know."""

from __future__ import annotations

import pytest
from tiny_cells import tiny_cell

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim import honesty
from lorafa_prof.devices.sim.honesty import note_of_unchecked, notes_of, notes_of_gpu
from lorafa_prof.devices.sim.twin import Twin

NOT_EXACT = "the memory of rtx-4090 is not known to the byte"
CONTEXT = "the CUDA context of {} is not measured; h100-80gb's 766.812 MiB is assumed"


@pytest.mark.parametrize(
    ("gpu", "notes"),
    [
        ("h100-80gb", []),
        ("h200", []),
        ("gh200-96gb", [CONTEXT.format("gh200-96gb")]),
        ("rtx-4090", [NOT_EXACT, CONTEXT.format("rtx-4090")]),
        ("rtx-4070", ["the memory of rtx-4070 is not known: out of memory is not predicted"]),
    ],
)
def test_what_is_not_measured_of_a_gpu(gpu: str, notes: list[str]) -> None:
    assert notes_of_gpu(GPUS[gpu]) == notes


def test_notes_of_a_row_are_of_its_gpu_and_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = tiny_cell(device="sim:rtx-4090")
    monkeypatch.setattr(honesty.torch, "__version__", "2.13.1+cu130")
    assert notes_of(Twin(GPUS["rtx-4090"]), cell) == [NOT_EXACT, CONTEXT.format("rtx-4090")]
    monkeypatch.setattr(honesty.torch, "__version__", "2.14.0")
    assert notes_of(Twin(GPUS["h100-80gb"]), cell) == [
        "this is torch 2.14.0; the twin was checked against GPUs with torch 2.11.0+cu130"
    ]


def test_the_message_counts_what_is_unchecked_and_names_the_first() -> None:
    assert note_of_unchecked(["aten.a.default"]) == (
        "not checked against a GPU: what 1 operation allocates inside (aten.a.default)"
    )
    assert note_of_unchecked([f"aten.{letter}.default" for letter in "abcde"]) == (
        "not checked against a GPU: what 5 operations allocate inside "
        "(aten.a.default, aten.b.default, aten.c.default, and 2 more)"
    )
