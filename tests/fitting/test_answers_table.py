"""What an answer looks like to people and to programs."""

from __future__ import annotations

from dataclasses import replace

from predictions import made_up, sim_cell

from lorafa_prof.fitting.answer import Answer, Change, Fit, FitQuestion, Largest
from lorafa_prof.fitting.answers_table import answers_json, answers_table, remarks

GIB = 2**30
LORA = sim_cell("lora", batch=2, seq=64)
FITS = Answer(
    Fit(FitQuestion(LORA, 10 * GIB, 256), None, made_up(7 * GIB, allocated=6 * GIB)),
    Largest(5),
    Largest(256, is_limit=True),
)
FULL = sim_cell("full-ft", batch=2, seq=64, accumulation=3)
TOO_LARGE = Answer(
    Fit(FitQuestion(FULL, 10 * GIB, 256), "backward", made_up(12 * GIB, allocated=11 * GIB), ("a note",)),
    Largest(1),
    Largest(None),
)


def test_of_one_answer_all_settings_stand_above() -> None:
    table = answers_table([FITS])
    assert table.shared == "model tiny-llama, gpu h100-80gb, method lora, rank 4, batch 2, seq 64, dtype fp32"
    assert table.names == 0
    assert dict(zip(table.header, table.rows[0], strict=True)) == {
        "fits": "yes", "peak GiB": "6.000", "left GiB": "3.000", "max batch": "5", "max seq": "256+"
    }  # fmt: skip


def test_settings_that_differ_are_columns_and_what_does_not_fit_says_where() -> None:
    table = answers_table([FITS, TOO_LARGE])
    assert table.shared == "model tiny-llama, gpu h100-80gb, rank 4, batch 2, seq 64, dtype fp32"
    assert table.header[: table.names] == ("method", "accumulation")
    assert table.rows == [
        ("lora", "1", "yes", "6.000", "3.000", "5", "256+"),
        ("full-ft", "3", "no: backward", "11.000", "-2.000", "1", "-"),
    ]


def test_where_no_batch_fits_a_step_has_no_tokens() -> None:
    none_fits = replace(TOO_LARGE, batch=Largest(None))
    assert answers_table([none_fits]).rows[0][-2:] == ("-", "-")
    assert answers_json([none_fits])[0]["tokens_per_step"] is None


def test_ways_to_fit_are_settings_of_a_scenario() -> None:
    ways = ((Change("batch", 1, "batch 1"), Change("loss", "chunked", "chunked loss")),)
    fits, too_large = answers_json([FITS, replace(TOO_LARGE, ways=ways)])
    assert (fits["fits_with"], too_large["fits_with"]) == (None, [{"batch": 1, "loss": "chunked"}])


def test_a_record_has_bytes_and_none_where_there_is_no_value() -> None:
    fits, too_large = answers_json([FITS, TOO_LARGE])
    assert (
        fits.items()
        >= {
            "model": "tiny-llama",
            "method": "lora",
            "rank": 4,
            "batch": 2,
            "gpu": "h100-80gb",
            "capacity_bytes": 10 * GIB,
            "fits": True,
            "failed_phase": None,
            "peak_allocated_bytes": 6 * GIB,
            "peak_reserved_bytes": 7 * GIB,
            "left_bytes": 3 * GIB,
            "largest_batch": 5,
            "largest_batch_is_limit": False,
            "tokens_per_step": 320,
            "longest_seq": 256,
            "longest_seq_is_limit": True,
        }.items()
    )
    assert (too_large["fits"], too_large["failed_phase"]) == (False, "backward")
    assert (too_large["left_bytes"], too_large["longest_seq"]) == (-2 * GIB, None)
    assert too_large["notes"] == ["a note"]
    assert fits.keys() - too_large.keys() == set(LORA.method.options)


def test_records_have_no_settings_that_nothing_was_asked_about() -> None:
    assert not {"device", "steps", "seed"} & answers_json([FITS])[0].keys()


def test_remarks_are_there_only_where_there_is_something_to_remark() -> None:
    assert remarks([FITS]) == []
    peak = "where it does not fit, peak and left are of a step with memory enough"
    assert remarks([TOO_LARGE, TOO_LARGE]) == [peak, "a note"]


def test_what_fits_only_with_the_cache_given_back_is_named() -> None:
    slow = replace(FITS, batch=Largest(5, retries=1), seq=Largest(256, retries=2))
    (line,) = remarks([slow])
    assert line.startswith(f"{LORA.label} on h100-80gb: the largest batch and the longest sequence only ")
    as_asked = replace(FITS, fit=replace(FITS.fit, memory=made_up(1, retries=1)))
    assert "h100-80gb: the step as asked only " in remarks([as_asked])[0]


def test_retries_of_a_step_that_does_not_fit_are_not_remarked_on() -> None:
    memory = made_up(12 * GIB, retries=3)
    assert len(remarks([replace(TOO_LARGE, fit=replace(TOO_LARGE.fit, memory=memory))])) == 2
