"""All that is asked is answered in its order, several predictions at once, none of them twice."""

from __future__ import annotations

import threading
import time

import pytest
from predictions import made_up, sim_cell

from lorafa_prof.cell import Cell
from lorafa_prof.fitting.answer import FitQuestion, Largest
from lorafa_prof.fitting.answering import answer_all, parts_of
from lorafa_prof.fitting.predictors import Predictor
from lorafa_prof.running.prediction import Prediction


def by_tokens(cell: Cell, capacity_bytes: int) -> Prediction:
    """A token takes a byte."""
    tokens = cell.batch * cell.seq
    return Prediction(made_up(tokens)) if tokens <= capacity_bytes else Prediction(None, "forward")


def test_each_answer_is_of_the_cell_in_its_place() -> None:
    cells = [sim_cell(batch=batch, seq=64) for batch in (1, 4, 2)]
    answers = answer_all([FitQuestion(cell, 640, 4096) for cell in cells], by_tokens, threads=2)
    assert [answer.fit.asked.cell for answer in answers] == cells
    assert [answer.batch for answer in answers] == [Largest(10)] * 3
    assert [answer.seq for answer in answers] == [Largest(640), Largest(128), Largest(320)]
    assert [answer.tokens_per_step for answer in answers] == [640, 640, 640]


def test_each_part_of_the_answers_is_told_and_the_nearest_of_what_does_not_fit_has_ways() -> None:
    told: list[int] = []
    asked = [FitQuestion(sim_cell(batch=batch, seq=64), 32, 4096) for batch in (2, 1)]
    answers = answer_all(asked, by_tokens, threads=2, tell=told.append)
    assert told == list(range(1, parts_of(asked) + 1))
    assert [answer.ways is None for answer in answers] == [True, False]
    fits = FitQuestion(sim_cell("lora-fa", batch=1, seq=32), 32, 4096)
    assert [answer.ways for answer in answer_all([*asked, fits], by_tokens, threads=2)] == [None] * 3


def test_nothing_is_predicted_twice() -> None:
    told: list[tuple[str, int]] = []
    predict = Predictor(by_tokens, lambda _, cell, capacity, __: told.append((cell.cell_id, capacity)))
    same = FitQuestion(sim_cell(batch=1, seq=64), 640, 256)
    first, second = answer_all([same, same], predict, threads=2)
    assert first == second
    assert len(set(told)) == len(told) == predict.count > 1


def test_as_many_predictions_run_at_once_as_there_are_threads() -> None:
    both = threading.Barrier(2, timeout=20)
    waited = []

    def predict(cell: Cell, capacity_bytes: int) -> Prediction:
        if cell.batch in (2, 3) and cell not in waited:
            waited.append(cell)
            both.wait()
        return Prediction(made_up(1))

    cells = [sim_cell(batch=2, seq=64), sim_cell(batch=3, seq=64)]
    assert len(answer_all([FitQuestion(cell, 10, 64) for cell in cells], predict, threads=2)) == 2


def test_an_error_is_raised_and_what_has_not_begun_never_does() -> None:
    begun = []

    def predict(cell: Cell, capacity_bytes: int) -> Prediction:
        begun.append(cell.batch)
        if cell.batch == 1:
            raise ZeroDivisionError
        time.sleep(0.05)
        return Prediction(made_up(1))

    asked = [FitQuestion(sim_cell(batch=batch, seq=64), 10, 64) for batch in range(1, 40)]
    with pytest.raises(ZeroDivisionError):
        answer_all(asked, predict, threads=1)
    assert len(begun) < len(asked)
