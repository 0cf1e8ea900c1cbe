"""What the answers come to, in a sentence for each model and GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from predictions import made_up, sim_cell

from lorafa_prof.fitting.answer import Answer, Change, Fit, FitQuestion, Largest, Way
from lorafa_prof.fitting.conclusion import conclusion

GIB = 2**30
BATCH_AND_CHECKPOINTS: Way = (
    Change("batch", 1, "batch 1"),
    Change("checkpointing", "full", "full checkpointing"),
)
NF4: Way = (Change("quantization", "nf4", "nf4"),)


def answer(needs_gib: float, method: str = "lora", batch: int | None = None, **settings: Any) -> Answer:
    """Of a step on a GPU of 10 GiB."""
    cell = sim_cell(method, batch=4, seq=64, **settings)
    failed = "backward" if needs_gib > 10 else None
    fit = Fit(FitQuestion(cell, 10 * GIB, 256), failed, made_up(round(needs_gib * GIB)))
    return Answer(fit, Largest(batch), Largest(None))


def test_of_one_cell_how_much_is_left_and_what_it_could_grow_to() -> None:
    fits = replace(answer(7, batch=5), seq=Largest(128))
    assert conclusion([fits]) == ["Fits, with 3.000 GiB left: up to batch 5 or sequences of 128 tokens."]


def test_of_one_that_does_not_fit_how_much_is_missing_and_what_would_help() -> None:
    short = replace(answer(19.7), ways=(BATCH_AND_CHECKPOINTS, NF4))
    assert conclusion([short]) == [
        "Does not fit: 9.700 GiB short. Fits with batch 1 and full checkpointing, or with nf4."
    ]
    (said,) = conclusion([replace(short, ways=(NF4,))])
    assert said.endswith(" Fits with nf4.")
    (said,) = conclusion([replace(short, ways=())])
    assert "short. Nothing that was tried makes it fit: " in said


def test_memory_in_pieces_too_small_is_not_short_of_any() -> None:
    broken = answer(9)
    broken = replace(broken, fit=replace(broken.fit, failed_phase="forward"))
    (said,) = conclusion([broken])
    assert said == "Does not fit: out of memory in forward, with enough of it in pieces too small."


def test_of_several_what_tells_them_apart_names_them() -> None:
    some = [answer(12, "full-ft"), answer(7), answer(8, checkpointing="full")]
    assert conclusion(some) == [
        "2 of 3 fit: lora (checkpointing none) leaves the most, 3.000 GiB; "
        "full-ft (checkpointing none) is 2.000 GiB short."
    ]
    assert conclusion([answer(7), answer(6, "lora-fa")]) == ["All 2 fit: lora-fa leaves the most, 4.000 GiB."]
    assert conclusion([answer(12), answer(6, "lora-fa")]) == [
        "Of 2 only lora-fa fits, with 4.000 GiB left; lora is 2.000 GiB short."
    ]
    assert conclusion([answer(13, "full-ft"), answer(12), answer(6, "lora-fa")]) == [
        "Of 3 only lora-fa fits, with 4.000 GiB left; of the others the nearest, lora, is 2.000 GiB short."
    ]


def test_where_none_fits_the_nearest_has_what_would_help() -> None:
    none = [answer(14), replace(answer(12, "lora-fa"), ways=(NF4,))]
    assert conclusion(none) == ["None of 2 fits: lora-fa is the nearest, 2.000 GiB short. It fits with nf4."]


def test_each_gpu_has_a_line() -> None:
    there = answer(7)
    cell = there.fit.asked.cell.model_copy(update={"gpu": "t4", "device": "sim:t4"})
    other = replace(there, fit=replace(there.fit, asked=replace(there.fit.asked, cell=cell)))
    lines = conclusion([there, other])
    assert [line.split(": ")[0] for line in lines] == ["tiny-llama on h100-80gb", "tiny-llama on t4"]
