"""Each cell is predicted once for each capacity, whichever thread asks and however often."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from predictions import made_up, sim_cell

from lorafa_prof.cell import Cell
from lorafa_prof.fitting.predictors import Predictor, in_processes
from lorafa_prof.running.predict_memory import predict_memory
from lorafa_prof.running.prediction import UNLIMITED, Prediction

CELL, OTHER = sim_cell(batch=1), sim_cell(batch=2)


class Predictions:
    """Predicts that a cell takes its batch in bytes, and remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Cell, int]] = []
        self.told: list[tuple[int, Cell, int, Prediction]] = []

    def __call__(self, cell: Cell, capacity_bytes: int) -> Prediction:
        self.asked.append((cell, capacity_bytes))
        return Prediction(made_up(cell.batch))

    def tell(self, *words: object) -> None:
        self.told.append(words)  # type: ignore[arg-type]


def test_a_cell_is_predicted_once_for_each_capacity() -> None:
    predict = Predictions()
    predictor = Predictor(predict, predict.tell)
    for _ in range(2):
        for cell, capacity in ((CELL, 10), (OTHER, 10), (CELL, 20)):
            assert predictor(cell, capacity) == Prediction(made_up(cell.batch))
    assert predict.asked == [(CELL, 10), (OTHER, 10), (CELL, 20)]
    assert predictor.count == 3


def test_each_prediction_is_told_of_with_its_number() -> None:
    predict = Predictions()
    predictor = Predictor(predict, predict.tell)
    predictor(CELL, 10)
    predictor(OTHER, 20)
    assert predict.told == [
        (1, CELL, 10, Prediction(made_up(1))),
        (2, OTHER, 20, Prediction(made_up(2))),
    ]


def test_a_thread_waits_for_what_another_one_is_predicting() -> None:
    begun, finish = threading.Event(), threading.Event()
    calls = []

    def predict(cell: Cell, capacity_bytes: int) -> Prediction:
        calls.append(cell)
        begun.set()
        assert finish.wait(20)
        return Prediction(made_up(7))

    predictor = Predictor(predict, lambda *told: None)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(predictor, CELL, 10)
        assert begun.wait(20)
        second = pool.submit(predictor, CELL, 10)
        assert not second.done()
        finish.set()
        assert first.result(20) is second.result(20)
    assert calls == [CELL]


def test_an_error_is_raised_to_all_who_ask_and_is_no_prediction() -> None:
    calls = []

    def fails(cell: Cell, capacity_bytes: int) -> Prediction:
        calls.append(cell)
        raise ZeroDivisionError

    told: list[object] = []
    predictor = Predictor(fails, lambda *words: told.append(words))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            predictor(CELL, 10)
    assert (calls, told, predictor.count) == ([CELL], [], 0)


def test_with_one_process_it_is_predicted_in_this_one() -> None:
    with in_processes(1) as predict:
        assert predict(CELL, UNLIMITED) == predict_memory(CELL, UNLIMITED)
        assert predict(CELL, 1).failed_phase == "build"
