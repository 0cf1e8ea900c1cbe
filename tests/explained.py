"""Tiny cells predicted with all that is known of their blocks, each once for all tests."""

from __future__ import annotations

from functools import cache
from typing import Any

from timelines import twin_cell

from lorafa_prof.cell import Cell
from lorafa_prof.explaining.predicted_step import PredictedStep, predicted_step
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.recorded_step import RecordedStep, record_step

#: Given to `twin_cell`.
Settings = tuple[tuple[str, Any], ...]
#: What takes a step other ways.
SETTINGS: tuple[Settings, ...] = (
    (("checkpointing", "full"),),
    (("accumulation", 2),),
    (("attention", "eager"),),
    (("optimizer", "sgd"),),
    (("dropout", 0.1),),
    (("padding", 0.5),),
)


def cell_of(method: str, model: str = "tiny-llama", settings: Settings = ()) -> Cell:
    return twin_cell(method, model, **dict(settings))


@cache
def watched(method: str, model: str = "tiny-llama", settings: Settings = ()) -> RecordedStep:
    return record_step(cell_of(method, model, settings))


@cache
def predicted(method: str, model: str = "tiny-llama", settings: Settings = ()) -> PredictedStep:
    return predicted_step(cell_of(method, model, settings))


@cache
def measured(method: str, model: str = "tiny-llama", settings: Settings = ()) -> CellResult:
    return measure_cell(cell_of(method, model, settings))
