"""What would make a step fit: no change that is not needed, and none that the cell cannot have."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from predictions import made_up, sim_cell

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.fitting.answer import Answer, Fewest, Fit, FitQuestion, Largest
from lorafa_prof.fitting.ways import ways_to_fit
from lorafa_prof.running.prediction import Prediction

CAPACITY = 1000
CHANGES = {"checkpointing": "full", "loss": "chunked", "quantization": "nf4", "batch": 1}


def ways(
    fits: Callable[[Cell], bool],
    cell: Cell | None = None,
    batch: int | None = None,
    seq: int | None = None,
    gpus: Fewest | None = None,
) -> list[dict[str, object]]:
    """The ways of a cell that does not fit, of which `fits` says what does."""
    cell = cell or sim_cell("lora", batch=4, seq=64)
    fit = Fit(FitQuestion(cell, CAPACITY, 256), "forward", made_up(2 * CAPACITY))

    def predict(changed: Cell, capacity_bytes: int) -> Prediction:
        assert capacity_bytes == CAPACITY
        return Prediction(made_up(1)) if fits(changed) else Prediction(None, "forward")

    with ThreadPoolExecutor(2) as pool:
        found = ways_to_fit(Answer(fit, Largest(batch), Largest(seq), gpus), predict, pool)
    return [{change.key: change.value for change in way} for way in found]


def saved(cell: Cell) -> int:
    """How many of the changes the cell has."""
    return sum(getattr(cell, key) == value for key, value in CHANGES.items())


def test_what_the_searches_found_comes_first_but_for_sequences_much_shorter() -> None:
    assert ways(lambda cell: False, batch=2, seq=32) == [{"batch": 2}, {"seq": 32}]
    assert ways(lambda cell: False, batch=2, seq=16) == [{"batch": 2}]
    assert ways(lambda cell: False, batch=2, gpus=Fewest(12)) == [{"batch": 2}, {"gpus": 12}]


def test_a_change_that_is_enough_is_in_no_other_way() -> None:
    found = ways(lambda cell: cell.quantization == "nf4" or saved(cell) > 1)
    assert found[0] == {"quantization": "nf4"}
    assert {"batch": 1, "checkpointing": "full"} in found
    assert not [way for way in found[1:] if "quantization" in way]
    assert {len(way) for way in found} == {1, 2}


def test_three_changes_are_tried_only_where_two_do_not_help() -> None:
    assert {len(way) for way in ways(lambda cell: saved(cell) > 2)} == {3}


def test_where_all_of_them_do_not_help_no_more_are_tried() -> None:
    tried: list[Cell] = []
    assert ways(lambda cell: bool(tried.append(cell))) == []
    assert len(tried) == len(CHANGES) + 1


def test_a_change_that_the_cell_cannot_have_hinders_no_other() -> None:
    def fits(cell: Cell) -> bool:
        if cell.loss == "chunked":
            raise UsageError("loss 'chunked': it has no logits")
        return saved(cell) == 3

    assert ways(fits) == [{"batch": 1, "checkpointing": "full", "quantization": "nf4"}]


def test_full_fine_tuning_has_no_frozen_base_to_quantize_but_adapters_to_change_to() -> None:
    cell = sim_cell("full-ft", batch=1, seq=64)
    assert ways(lambda changed: changed.method.name == "lora", cell) == [{"method": "lora"}]
    seen: list[Cell] = []
    ways(lambda changed: bool(seen.append(changed)), cell)
    assert {changed.quantization for changed in seen} == {"none"}


@pytest.mark.parametrize("settings", [{"phase": "eval"}, {"checkpointing": "attention"}])
def test_checkpoints_are_of_training_that_has_none(settings: dict[str, str]) -> None:
    seen: list[Cell] = []
    ways(lambda cell: bool(seen.append(cell)), sim_cell("lora", batch=1, seq=64, **settings))
    assert "full" not in {cell.checkpointing for cell in seen}
