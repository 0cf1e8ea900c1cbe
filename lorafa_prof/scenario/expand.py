"""From a scenario to its cells: the product of its axes, less what is excluded."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from lorafa_prof.methods.base import METHODS, Method
from lorafa_prof.registry import nearest
from lorafa_prof.scenario.cell import Cell, MethodChoice, ModelChoice
from lorafa_prof.scenario.load import LoadedScenario, scenario_error
from lorafa_prof.scenario.schema import Axes, MethodEntry, Scenario, as_list
from lorafa_prof.scenario.yaml_lines import KeyPath

AXES = tuple(Axes.model_fields)


@dataclass(frozen=True)
class PlannedCell:
    """A cell and the places in the scenario file that it came from, for errors found later."""

    cell: Cell
    model_path: KeyPath
    method_path: KeyPath


@dataclass(frozen=True)
class ResolvedDevice:
    """Where the cells of one `device` × `gpu` run."""

    device: str
    gpu: str | None


ResolveDevice = Callable[[str, str], ResolvedDevice]


def expand(loaded: LoadedScenario, resolve_device: ResolveDevice) -> list[PlannedCell]:
    """All cells of a scenario in the order of its axes, each once.

    Args:
        loaded: the scenario.
        resolve_device: what a `device` and `gpu` of the scenario are on this machine.

    Raises:
        ScenarioError: an unknown method, option or excluded key; or nothing is left to sweep.
    """
    planned: dict[str, PlannedCell] = {}
    excluded = 0
    for candidate in _candidates(loaded, resolve_device):
        if any(_matches(candidate.cell, rule) for rule in _exclusions(loaded)):
            excluded += 1
        else:
            planned.setdefault(candidate.cell.cell_id, candidate)
    if not planned:
        raise loaded.error(f"all {excluded} cells are excluded: nothing to sweep", ("exclude",))
    return list(planned.values())


def _candidates(loaded: LoadedScenario, resolve_device: ResolveDevice) -> Iterator[PlannedCell]:
    scenario = loaded.scenario
    written = loaded.document.data
    devices = [resolve_device(d, g) for d, g in itertools.product(scenario.device, scenario.gpu)]
    for (m, model), (n, entry) in itertools.product(enumerate(scenario.model), enumerate(scenario.method)):
        model_path: KeyPath = ("model", m) if isinstance(written["model"], list) else ("model",)
        method_path: KeyPath = ("method", n) if isinstance(written["method"], list) else ("method",)
        for choice, axes in _method_points(loaded, entry, method_path):
            for device in dict.fromkeys(devices):
                for values in _product(_axes_of(scenario, axes)):
                    cell = _cell(scenario, model, choice, device, values)
                    yield PlannedCell(cell, model_path, method_path)


def _product(axes: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _axes_of(scenario: Scenario, own: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    shared = {name: getattr(scenario, name) or [None] for name in AXES}
    return {**shared, **own}


def _method_of(loaded: LoadedScenario, entry: MethodEntry, path: KeyPath) -> Method:
    if entry.name not in METHODS:
        raise loaded.error(f"unknown method '{entry.name}'{nearest(entry.name, list(METHODS))}", path)
    return METHODS[entry.name]


def _method_points(
    loaded: LoadedScenario, entry: MethodEntry, path: KeyPath
) -> Iterator[tuple[MethodChoice, dict[str, list[Any]]]]:
    """Each combination of the entry's options, with the scenario axes that the entry sets itself."""
    method = _method_of(loaded, entry, path)
    given = dict(entry.model_extra or {})
    own_axes = _own_axes(loaded, {name: given.pop(name) for name in AXES if name in given}, path)
    known = [*method.options.model_fields, *AXES]
    for key in given:
        if key not in method.options.model_fields:
            raise loaded.error(f"{entry.name} has no option '{key}'{nearest(key, known)}", (*path, key))
        if given[key] == []:
            raise loaded.error("the list is empty: nothing to sweep", (*path, key))
    for values in _product({key: as_list(value) for key, value in given.items()}):
        try:
            options = method.options.model_validate(values)
        except ValidationError as error:
            raise scenario_error(error, method.options, loaded.file, loaded.document, path) from error
        yield MethodChoice(name=method.name, options=options.model_dump(mode="json")), own_axes


def _own_axes(loaded: LoadedScenario, given: dict[str, Any], path: KeyPath) -> dict[str, list[Any]]:
    try:
        axes = Axes.model_validate(given)
    except ValidationError as error:
        raise scenario_error(error, Axes, loaded.file, loaded.document, path) from error
    return {name: getattr(axes, name) for name in given}


def _cell(
    scenario: Scenario,
    model: ModelChoice,
    choice: MethodChoice,
    device: ResolvedDevice,
    values: dict[str, Any],
) -> Cell:
    method = METHODS[choice.name]
    if method.default_adapter_dtype is None:
        # Without adapters their type is no setting: one cell, not one for each.
        values["adapter_dtype"] = values["dtype"]
    elif values["adapter_dtype"] is None:
        values["adapter_dtype"] = method.default_adapter_dtype(values["dtype"])
    return Cell(
        model=model,
        method=choice,
        device=device.device,
        gpu=device.gpu,
        steps=scenario.steps,
        seed=scenario.seed,
        **values,
    )


def _exclusions(loaded: LoadedScenario) -> list[dict[str, Any]]:
    known = {"model", "method", "device", "gpu", *AXES}
    for method in METHODS.values():
        known |= set(method.options.model_fields)
    for index, rule in enumerate(loaded.scenario.exclude):
        for key in rule:
            if key not in known:
                raise loaded.error(f"unknown key{nearest(key, sorted(known))}", ("exclude", index, key))
    return loaded.scenario.exclude


def _matches(cell: Cell, rule: Mapping[str, Any]) -> bool:
    values = {
        **cell.method.options,
        **cell.model_dump(mode="json"),
        "model": cell.model.name,
        "method": cell.method.name,
    }
    return all(values.get(key) in as_list(wanted) for key, wanted in rule.items())
