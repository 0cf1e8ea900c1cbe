"""Checking every cell on shapes alone, before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.methods.base import METHODS, TORCH_DTYPES, Setting
from lorafa_prof.models.build import build_model
from lorafa_prof.models.inputs import check_seq
from lorafa_prof.models.kernels import check_kernels
from lorafa_prof.models.resolve import ResolvedModel, resolve_model
from lorafa_prof.scenario.cell import Cell, ModelChoice
from lorafa_prof.scenario.expand import PlannedCell
from lorafa_prof.scenario.load import LoadedScenario
from lorafa_prof.scenario.yaml_lines import KeyPath


def check_cells(loaded: LoadedScenario, planned: Sequence[PlannedCell]) -> None:
    """Build each model on the meta device and prepare it by each method, as its cells will.

    Raises:
        ScenarioError: a cell cannot be built: an unknown model, target or optimizer, a rank larger than a
            layer, a sequence longer than the positions, …; the line names file, line and key.
    """
    resolved: dict[ModelChoice, ResolvedModel] = {}
    checked: set[str] = set()
    for plan in planned:
        cell = plan.cell
        try:
            if cell.model not in resolved:
                resolved[cell.model] = resolve_model(cell.model)
            check_seq(resolved[cell.model], cell.seq)
        except LorafaProfError as error:
            raise _at(loaded, error, plan, plan.model_path) from error
        key = _shape_key(cell)
        if key not in checked:
            try:
                _prepare_on_meta(cell, resolved[cell.model])
            except LorafaProfError as error:
                raise _at(loaded, error, plan, plan.method_path) from error
            checked.add(key)


def _shape_key(cell: Cell) -> str:
    """What decides whether a cell can be built: all but its batch and sequence."""
    return cell.model_copy(update={"batch": 1, "seq": 1}).model_dump_json()


def _prepare_on_meta(cell: Cell, resolved: ResolvedModel) -> None:
    check_kernels(cell.kernels)
    model = build_model(
        resolved,
        device=torch.device("meta"),
        dtype=TORCH_DTYPES[cell.dtype],
        attention=cell.attention,
        checkpointing=cell.checkpointing,
        seed=cell.seed,
    )
    method = METHODS[cell.method.name]
    setting = Setting(resolved.task, TORCH_DTYPES[cell.adapter_dtype], cell.optimizer)
    method.prepare(model, method.options.model_validate(cell.method.options), setting)


def _at(loaded: LoadedScenario, error: LorafaProfError, plan: PlannedCell, path: KeyPath) -> LorafaProfError:
    """The error at the key it is about: in the method's entry, else of the scenario, else at `path`."""
    if error.about is not None:
        for place in ((*plan.method_path, error.about), (error.about,)):
            if place in loaded.document.lines:
                return loaded.error(str(error), place)
    return loaded.error(str(error), path)
