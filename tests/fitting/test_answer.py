"""What fits: the cell as asked, the largest batch, the longest sequence, each tried on the twin."""

from __future__ import annotations

import pytest
from predictions import made_up, sim_cell

from lorafa_prof.cell import Cell
from lorafa_prof.fitting.answer import (
    Answer,
    Fit,
    FitQuestion,
    Largest,
    fit_as_asked,
    largest_batch,
    longest_seq,
)
from lorafa_prof.fitting.predictors import Predictor
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.predict_memory import predict_memory
from lorafa_prof.running.prediction import UNLIMITED, Prediction

MIB = 2**20
ROOM = 96 * MIB


def predictor() -> Predictor:
    return Predictor(predict_memory, lambda *told: None)


def asked(cell: Cell, capacity: int = ROOM, seq_limit: int = 4096) -> tuple[Fit, Predictor]:
    predict = predictor()
    return fit_as_asked(FitQuestion(cell, capacity, seq_limit), predict), predict


@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa"])
def test_memory_is_that_of_run(method: str) -> None:
    cell = sim_cell(method)
    memory = predict_memory(cell, UNLIMITED).memory
    row = measure_cell(cell).row
    assert memory is not None
    assert memory.peak_allocated_bytes == row["peak_allocated_bytes"]
    assert memory.peak_reserved_bytes == row["peak_reserved_bytes"]
    assert memory.activation_bytes == row["activation_bytes"]


@pytest.mark.parametrize("method", ["full-ft", "lora-fa"])
def test_the_largest_batch_fits_and_one_more_does_not(method: str) -> None:
    fit, predict = asked(sim_cell(method))
    found = largest_batch(fit, predict)
    assert fit.fits
    assert found.value is not None
    assert found.value > fit.asked.cell.batch
    assert not found.is_limit
    assert predict_memory(sim_cell(method, batch=found.value), ROOM).fits
    assert not predict_memory(sim_cell(method, batch=found.value + 1), ROOM).fits


@pytest.mark.parametrize("seq", [64, 48, 100])
def test_the_longest_sequence_fits_and_64_more_tokens_do_not(seq: int) -> None:
    fit, predict = asked(sim_cell(seq=seq))
    found = longest_seq(fit, predict)
    assert found.value is not None
    assert found.value % 64 == 0
    assert predict_memory(sim_cell(seq=found.value), ROOM).fits
    assert not predict_memory(sim_cell(seq=found.value + 64), ROOM).fits


def test_what_does_not_fit_says_where_and_what_it_would_need_and_less_is_looked_for() -> None:
    fit, predict = asked(sim_cell(batch=10, seq=256))
    assert not fit.fits
    assert fit.failed_phase in ("forward", "backward")
    assert fit.memory.peak_allocated_bytes > ROOM
    assert fit.left_bytes == ROOM - (fit.memory.peak_reserved_bytes or 0) < 0
    batch, seq = largest_batch(fit, predict), longest_seq(fit, predict)
    assert batch.value is not None
    assert seq.value is not None
    assert 1 <= batch.value < 10
    assert seq.value in (64, 128, 192)
    assert not predict_memory(sim_cell(batch=batch.value + 1, seq=256), ROOM).fits


def test_where_nothing_fits_there_is_no_largest() -> None:
    fit, predict = asked(sim_cell(batch=1, seq=256), capacity=1 * MIB)
    assert fit.failed_phase == "build"
    assert largest_batch(fit, predict).value is None
    assert longest_seq(fit, predict).value is None
    assert predict.count == 3  # as asked, without a limit, 64 tokens


def test_the_limit_is_told_from_a_border() -> None:
    fit, predict = asked(sim_cell(), seq_limit=130)
    found = longest_seq(fit, predict)
    assert (found.value, found.is_limit) == (128, True)
    small, predict = asked(sim_cell(seq=16), seq_limit=32)
    assert (longest_seq(small, predict).value, longest_seq(small, predict).is_limit) == (32, True)


@pytest.mark.parametrize(
    ("capacity", "largest"), [(105, Largest(10)), (104, Largest(10, retries=3)), (99, Largest(9))]
)
def test_a_batch_that_fits_only_by_giving_the_cache_back_is_told_of(capacity: int, largest: Largest) -> None:
    """A batch of n takes 10 n bytes and keeps 5 more, or gives them back where there is no room."""

    def predict(cell: Cell, capacity_bytes: int) -> Prediction:
        need = 10 * cell.batch
        if need > capacity_bytes:
            return Prediction(None, failed_phase="forward")
        room = need + 5 <= capacity_bytes
        return Prediction(made_up(need + 5 if room else capacity_bytes, retries=0 if room else 3))

    fit = fit_as_asked(FitQuestion(sim_cell(batch=1), capacity, 64), predict)
    assert largest_batch(fit, predict) == largest


def test_an_evaluation_is_asked_about_as_a_step_is() -> None:
    fit, predictor = asked(sim_cell(phase="eval", kept_logits=4))
    memory = measure_cell(fit.asked.cell).details["memory"]
    assert fit.memory.peak_reserved_bytes == memory["peak_reserved_bytes"]
    found = largest_batch(fit, predictor)
    assert found.value is not None
    assert found.value > fit.asked.cell.batch
    answer = Answer(fit, found, Largest(None))
    assert answer.tokens_per_step == found.value * fit.asked.cell.seq * 4
