"""How many GPUs a sharded cell needs: tried, not concluded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from predictions import made_up, sim_cell

from lorafa_prof.cell import Cell
from lorafa_prof.fitting.answer import Answer, Fewest, Fit, FitQuestion, Largest, fit_as_asked
from lorafa_prof.fitting.answers_table import answers_json, answers_table, remarks
from lorafa_prof.fitting.fewest import MOST_GPUS, fewest_gpus
from lorafa_prof.fitting.predictors import Predictor
from lorafa_prof.instruments.memory.profile import Counters, MemoryProfile
from lorafa_prof.running.predict_memory import predict_memory
from lorafa_prof.running.prediction import Prediction

WHOLE, SHARDED = 20_000, 1_000_000


def on_each(cell: Cell, capacity: int) -> Prediction:
    need = WHOLE + -(-SHARDED // cell.gpus)
    if need > capacity:
        return Prediction(None, "forward")
    return Prediction(memory_of(need), None)


def memory_of(need: int, retries: int = 0) -> MemoryProfile:
    memory = made_up(need, retries=retries)
    start = Counters(need - WHOLE, need - WHOLE, need - WHOLE, need)
    return replace(
        memory, phases={name: replace(phase, start=start) for name, phase in memory.phases.items()}
    )


def asked(gpus: int, capacity: int, parallel: str = "fsdp2") -> tuple[Fit, Predictor]:
    cell = sim_cell(parallel=parallel, gpus=gpus)
    fit = Fit(
        FitQuestion(cell, capacity, 64),
        None if on_each(cell, capacity).fits else "forward",
        memory_of(WHOLE + -(-SHARDED // gpus)),
    )
    return fit, Predictor(on_each, lambda *told: None)


@pytest.mark.parametrize(
    "capacity", [21_000, 22_000, 30_000, 70_000, 120_000, 520_000, 1_019_999, 1_020_000, 5_000_000]
)
@pytest.mark.parametrize("gpus", [1, 2, 8, 64, 1000, 2000])
def test_it_fits_on_so_many_and_not_on_one_fewer(gpus: int, capacity: int) -> None:
    fit, predict = asked(gpus, capacity)
    found = fewest_gpus(fit, predict)
    assert found is not None
    assert found.value is not None
    assert on_each(sim_cell(gpus=found.value), capacity).fits
    assert found.value == 1 or not on_each(sim_cell(gpus=found.value - 1), capacity).fits
    assert predict.count <= 4


def test_where_it_fits_on_no_number_there_is_none() -> None:
    fit, predict = asked(8, WHOLE)
    assert fewest_gpus(fit, predict) == Fewest(None)


def test_of_what_is_not_sharded_nothing_is_asked() -> None:
    fit, predict = asked(8, 5_000_000, parallel="ddp")
    assert fewest_gpus(fit, predict) is None
    assert predict.count == 0


def test_on_the_twin() -> None:
    """With the memory that a rank of four needs, four do and three do not."""
    cell = sim_cell("full-ft", parallel="fsdp2", gpus=2, seq=16)
    of_four = predict_memory(cell.model_copy(update={"gpus": 4}), None).memory
    assert of_four is not None
    capacity = of_four.peak_reserved_bytes or 0
    predict = Predictor(predict_memory, lambda *told: None)
    found = fewest_gpus(fit_as_asked(FitQuestion(cell, capacity, 64), predict), predict)
    assert found is not None
    assert found.value is not None
    assert predict_memory(cell.model_copy(update={"gpus": found.value}), capacity).fits


def test_a_table_with_a_spread_cell_says_of_how_many_gpus() -> None:
    fit = Fit(FitQuestion(sim_cell(parallel="fsdp2", gpus=8), 100, 64), None, made_up(50))
    sharded = Answer(fit, Largest(1), Largest(64), Fewest(3, retries=1))
    alone = Answer(replace(fit, asked=replace(fit.asked, cell=sim_cell())), Largest(1), Largest(64))
    none = replace(sharded, gpus=Fewest(None))
    table = answers_table([sharded, alone, none])
    assert (table.header[table.names - 1], table.header[-1]) == ("gpus", "fewest gpus")
    assert [row[table.names - 1] for row in table.rows] == ["8", "1", "8"]
    assert [row[-1] for row in table.rows] == ["3", "-", f"over {MOST_GPUS}"]
    assert [record["fewest_gpus"] for record in answers_json([sharded, alone, none])] == [3, None, None]
    assert sharded.tokens_per_step == 8 * sharded.fit.asked.cell.seq
    assert "the fewest GPUs only with the cache given back" in remarks([sharded])[0]
