from __future__ import annotations

from typing import Any

from lorafa_prof.concluding.conclusions import conclusions

GIB = 2**30


def row(
    method: str = "lora", held: float | None = 10, peak: float | None = 20, **other: Any
) -> dict[str, Any]:
    """A row of the table, sizes in GiB."""
    adapters = {} if method == "full-ft" else {"rank": 8, "targets": "all-linear", "adapter_dtype": "bf16"}
    known = {
        "status": "ok",
        "model": "tiny-llama",
        "method": method,
        **adapters,
        "batch": 4,
        "seq": 1024,
        "device": "sim:h100-80gb",
        "gpu": "h100-80gb",
        "activation_bytes": held and int(held * GIB),
        "peak_allocated_bytes": peak and int(peak * GIB),
        **other,
    }
    name = "-".join(str(known.get(key)) for key in ("model", "method", "rank", "batch", "seq", "optimizer"))
    return {"cell_id": name, **{key: value for key, value in known.items() if value is not None}}


def told(*rows: dict[str, Any]) -> list[str]:
    return [each.text for each in conclusions(rows)]


def test_a_method_is_set_against_its_reference_by_the_largest_pair_of_equal_cells() -> None:
    rows = [
        row("lora", 10, 20),
        row("lora-fa", 8, 18),
        row("lora", 20, 40, seq=2048),
        row("lora-fa", 15, 30, seq=2048),
        row("lora-fa", 1, 1, seq=4096),
    ]
    first = conclusions(rows)[0]
    assert first.text == (
        "LoRA-FA holds 5.000 GiB less than LoRA for backward (25.0 %: 15.000 GiB instead of 20.000 GiB). "
        "Its peak is 10.000 GiB lower (25.0 %: 30.000 GiB instead of 40.000 GiB). "
        "This is at rank 8, batch 4, seq 2048, the largest of 2 pairs of cells alike in all else."
    )
    assert (first.kind, first.cell_ids) == ("methods", (rows[3]["cell_id"], rows[2]["cell_id"]))


def test_what_is_the_same_is_called_that_and_times_within_two_percent_are() -> None:
    rows = [row("lora", step_ms_median=100.0), row("lora-fa", 10, 22, step_ms_median=101.0)]
    assert told(*rows)[0].startswith(
        "LoRA-FA holds as much as LoRA for backward (10.000 GiB and 10.000 GiB). "
        "Its peak is 2.000 GiB higher (10.0 %: 22.000 GiB instead of 20.000 GiB). "
        "A step takes about as long (101 ms and 100 ms)."
    )


def test_a_value_that_was_disturbed_is_not_compared() -> None:
    rows = [row("lora", step_ms_median=100.0, marks="beside"), row("lora-fa", 8, 18, step_ms_median=50.0)]
    assert "LoRA-FA holds" in told(*rows)[0]
    assert "A step takes" not in told(*rows)[0]


def test_an_evaluation_holds_nothing_and_its_peaks_are_compared() -> None:
    (only,) = told(row("lora", None, 20, phase="eval"), row("lora-fa", None, 15, phase="eval"))
    assert only.startswith("Against LoRA, the peak of LoRA-FA is 5.000 GiB lower (25.0 %")


def test_full_fine_tuning_is_compared_with_one_method_only() -> None:
    rows = [row("full-ft", 10, 80), row("lora"), row("lora-fa", 8, 18)]
    assert [each.split(" than ")[1].split(" for ")[0] for each in told(*rows)] == ["LoRA", "full fine-tuning"]


def test_what_fits_where_the_other_does_not_and_what_ran_out() -> None:
    rows = [
        row("lora", 10, 20),
        row("lora", None, None, seq=4096, status="oom", failed_phase="forward"),
        row("lora-fa", 8, 18),
        row("lora-fa", 30, 60, seq=4096),
    ]
    texts = told(*rows)
    assert "LoRA-FA fits where LoRA runs out of memory: at rank 8, batch 4, seq 4096." in texts
    assert "1 of 4 cells ran out of memory on the h100-80gb: LoRA (seq 4096)." in texts


def test_a_method_of_which_every_cell_ran_out_is_named_once() -> None:
    lost = [row("lora", None, None, seq=seq, status="oom") for seq in (1024, 2048, 4096, 8192)]
    (text,) = told(*lost)
    assert text == "4 of 4 cells ran out of memory on the h100-80gb: all of LoRA."
    (text,) = told(*lost, row("lora", None, None, seq=1, status="timeout"))[:1]
    assert text.endswith("LoRA (seq 1024; seq 2048; seq 4096; and 1 more).")


def test_what_a_setting_changes_is_told_of_cells_alike_in_all_else() -> None:
    rows = [
        row(peak=40, checkpointing="none"),
        row(peak=10, checkpointing="full"),
        row(peak=38, checkpointing="none", optimizer="sgd"),
    ]
    assert told(*rows)[0] == "Peak by checkpointing, of LoRA: full: 10.000 GiB, none: 40.000 GiB."


def test_settings_of_numbers_are_told_in_their_order() -> None:
    rows = [row(peak=40, seq=4096, tokens_per_s=900.0), row(peak=10, seq=512, tokens_per_s=1000.0)]
    expected = "512: 10.000 GiB at 1,000 tokens/s, 4096: 40.000 GiB at 900 tokens/s."
    assert told(*rows) == [f"Peak by sequence length, of LoRA: {expected}"]


def test_a_cell_alone_is_told_with_its_gpu() -> None:
    assert told(row(peak_reserved_bytes=40 * GIB)) == [
        "The cell, LoRA, holds 10.000 GiB for backward and peaks at 20.000 GiB; "
        "PyTorch reserves 40.000 GiB of the h100-80gb's 79.179 GiB, 51 %."
    ]


def test_nothing_is_concluded_of_nothing() -> None:
    assert conclusions([]) == []
