"""What an answer looks like to people and to programs."""

from __future__ import annotations

from dataclasses import replace

from predictions import made_up, sim_cell

from lorafa_prof.fitting.answer import Answer, Fit, FitQuestion, Largest
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


def row(answer: Answer) -> dict[str, str]:
    table = answers_table([answer])
    (cells,) = table.rows
    return dict(zip(table.header, cells, strict=True))


def test_a_row_of_what_fits() -> None:
    assert list(row(FITS).values()) == [
        *("tiny-llama", "h100-80gb", "lora", "4", "2", "64", "yes", "-"),
        *("6.000", "3.000", "5", "320", "256+"),
    ]


def test_a_row_of_what_does_not_fit() -> None:
    assert list(row(TOO_LARGE).values()) == [
        *("tiny-llama", "h100-80gb", "full-ft", "-", "2", "64", "no", "backward"),
        *("11.000", "-2.000", "1", "192", "-"),
    ]


def test_where_no_batch_fits_a_step_has_no_tokens() -> None:
    none_fits = row(replace(TOO_LARGE, batch=Largest(None)))
    assert (none_fits["largest batch"], none_fits["tokens/step"]) == ("-", "-")


def test_a_column_more_tells_apart_what_is_asked_with_other_settings() -> None:
    eager = replace(FITS.fit.asked, cell=LORA.model_copy(update={"attention": "eager"}))
    table = answers_table([FITS, replace(FITS, fit=replace(FITS.fit, asked=eager)), TOO_LARGE])
    assert table.header[table.names - 1] == "settings"
    assert [cells[table.names - 1] for cells in table.rows] == ["attention=sdpa", "attention=eager", "-"]


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
