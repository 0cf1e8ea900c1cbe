"""From a scenario to its cells: the product of its axes, less what is excluded."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from lorafa_prof.cell import Cell, MethodChoice, ModelChoice, ResolvedDevice
from lorafa_prof.errors import LorafaProfError, UsageError, described
from lorafa_prof.guard import guarded
from lorafa_prof.methods.base import METHODS, Method
from lorafa_prof.models.positions import DEFAULT_SEQ, default_seq
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.parallel.shard import SHARDED, Shard
from lorafa_prof.registry import nearest
from lorafa_prof.scenario.exclude import check_exclusions, excluding
from lorafa_prof.scenario.invalid import scenario_error
from lorafa_prof.scenario.lengths import Lengths
from lorafa_prof.scenario.load import LoadedScenario
from lorafa_prof.scenario.one_or_many import as_list
from lorafa_prof.scenario.options import validated_options
from lorafa_prof.scenario.schema import AXES, WHOLE_SCENARIO, Axes, MethodEntry, Scenario
from lorafa_prof.scenario.yaml_data import KeyPath


@dataclass(frozen=True)
class PlannedCell:
    """A cell and the places in the scenario file that it came from, for errors found later.

    `learning_rates` are those of its learning runs, if the scenario trains: its method's own, else the
    scenario's.
    """

    cell: Cell
    model_path: KeyPath
    method_path: KeyPath
    learning_rates: tuple[float, ...] = ()


ResolveDevice = Callable[[str, str], ResolvedDevice]


def expand(loaded: LoadedScenario, resolve_device: ResolveDevice) -> list[PlannedCell]:
    """Return all cells of a scenario in the order of its axes, each once.

    Args:
        loaded: the scenario.
        resolve_device: returns where the cells of a `device` and `gpu` of the scenario run.

    Raises:
        ScenarioError: an unknown device, method, option or excluded key; a rule of `exclude` that no cell
            matches; or nothing is left to sweep.
    """
    check_exclusions(loaded)
    _check_number(loaded)
    planned: dict[str, PlannedCell] = {}
    used: set[int] = set()
    sharded = False
    for candidate in _candidates(loaded, resolve_device):
        sharded |= candidate.cell.parallel == SHARDED
        rules = excluding(candidate.cell, loaded.scenario.exclude)
        used.update(rules)
        if not rules:
            first = planned.setdefault(candidate.cell.cell_id, candidate)
            rates = dict.fromkeys((*first.learning_rates, *candidate.learning_rates))
            planned[candidate.cell.cell_id] = replace(first, learning_rates=tuple(rates))
    if not planned:
        raise loaded.error("every cell is excluded: nothing to sweep", ("exclude",))
    _check_all_used(loaded, used)
    if not sharded:
        _check_no_shard(loaded)
    return list(planned.values())


def _check_number(loaded: LoadedScenario) -> None:
    """Raise ScenarioError for more cells than there may be, found without making any."""
    scenario = loaded.scenario
    cells = sum(_number_of_points(scenario, entry) for entry in scenario.method)
    cells *= len(scenario.model) * len(scenario.device) * len(scenario.gpu)
    if cells > loaded.most_cells:
        raise loaded.error(
            f"its axes make {cells:,} cells, {loaded.most_cells:,} are the most: make several scenarios of "
            f"it, or allow them by --max-cells {cells}",
            (),
        )


def _number_of_points(scenario: Scenario, entry: MethodEntry) -> int:
    """How many combinations of its options and of the axes that a method's entry makes at most."""
    own = entry.model_extra or {}
    shared = {name: getattr(scenario, name) or [None] for name in AXES}
    return math.prod(len(as_list(values)) for values in {**shared, **own}.values())


def _check_all_used(loaded: LoadedScenario, used: set[int]) -> None:
    # What another machine or an override makes of a scenario may well leave a rule without a cell; a scenario
    # that has no lines is one that was run, overridden already.
    if loaded.document.replaced or not loaded.document.lines:
        return
    for index, rule in enumerate(loaded.scenario.exclude):
        if index not in used and not rule.keys() & {"device", "gpu"}:
            raise loaded.error("no cell matches this, so it excludes nothing", ("exclude", index))


def _check_no_shard(loaded: LoadedScenario) -> None:
    """Raise ScenarioError if the scenario says how to shard, for cells of which none is sharded."""
    scenario = loaded.scenario
    said: list[tuple[KeyPath, bool]] = [(("shard",), scenario.shard != [Shard()])]
    for index, entry in enumerate(scenario.method):
        said.append((("method", index, "shard"), "shard" in (entry.model_extra or {})))
    for path, is_said in said:
        if is_said:
            raise loaded.error(f"only parallel '{SHARDED}' shards, and no cell has it; leave shard out", path)


def _candidates(loaded: LoadedScenario, resolve_device: ResolveDevice) -> Iterator[PlannedCell]:
    scenario = loaded.scenario
    devices = list(dict.fromkeys(_devices(loaded, resolve_device)))
    unsaid_seq = functools.cache(_unsaid_seq)  # of this expansion: configs may be edited before the next
    points = [
        (("method", index), entry, choice, axes)
        for index, entry in enumerate(scenario.method)
        for choice, axes in _method_points(loaded, entry, ("method", index))
    ]
    for (index, model), point in itertools.product(enumerate(scenario.model), points):
        method_path, entry, choice, axes = point
        rates = _learning_rates(loaded, entry, method_path)
        for device in devices:
            for values in _product(_axes_of(scenario, axes)):
                if values["seq"] is None:
                    values["seq"] = unsaid_seq(model)
                cell = _cell(scenario, model, choice, device, values)
                yield PlannedCell(
                    cell,
                    loaded.document.as_written(("model", index)),
                    loaded.document.as_written(method_path),
                    rates,
                )


def _learning_rates(loaded: LoadedScenario, entry: MethodEntry, path: KeyPath) -> tuple[float, ...]:
    training = loaded.scenario.training
    if training is None:
        if entry.learning_rate is not None:
            raise loaded.error(
                "a learning rate is of training runs, and the scenario has no training: block",
                (*path, "learning_rate"),
            )
        return ()
    return tuple(entry.learning_rate or training.learning_rate or ())


def _devices(loaded: LoadedScenario, resolve_device: ResolveDevice) -> Iterator[ResolvedDevice]:
    scenario = loaded.scenario
    for (d, device), (g, gpu) in itertools.product(enumerate(scenario.device), enumerate(scenario.gpu)):
        try:
            yield resolve_device(device, gpu)
        except UsageError as error:
            path: KeyPath = ("gpu", g) if error.about == "gpu" else ("device", d)
            raise loaded.error(str(error), path) from error


def _unsaid_seq(model: ModelChoice) -> int:
    try:
        return default_seq(resolve_model(model))
    except LorafaProfError:
        # Said again, with the line of the scenario, when the cells are checked.
        return DEFAULT_SEQ


def _product(axes: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _axes_of(scenario: Scenario, own: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    shared = {name: getattr(scenario, name) for name in AXES}
    # None: nothing said, so the method's default, or the model's.
    return {name: values or [None] for name, values in {**shared, **own}.items()}


def _method_of(loaded: LoadedScenario, entry: MethodEntry, path: KeyPath) -> Method:
    if entry.name not in METHODS:
        at = (*path, "name") if loaded.document.has((*loaded.document.as_written(path), "name")) else path
        raise loaded.error(
            f"unknown method '{entry.name}'{nearest(entry.name, list(METHODS))}; "
            "`lorafa-prof list methods` shows all",
            at,
        )
    return METHODS[entry.name]


def _method_points(
    loaded: LoadedScenario, entry: MethodEntry, path: KeyPath
) -> Iterator[tuple[MethodChoice, dict[str, list[Any]]]]:
    """Yield each combination of the entry's options, with the axes that the entry sets itself."""
    method = _method_of(loaded, entry, path)
    written = dict(entry.model_extra or {})
    own_axes = _own_axes(loaded, {name: written.pop(name) for name in AXES if name in written}, path)
    for key in written:
        if key not in method.options.model_fields:
            raise loaded.error(_no_such_option(method, key), (*path, key))
        if written[key] == []:
            raise loaded.error("the list is empty: nothing to sweep", (*path, key))
    for chosen in _product({key: list(enumerate(as_list(value))) for key, value in written.items()}):
        try:
            with guarded(f"the method '{method.name}'"):
                options = validated_options(method, {key: value for key, (_, value) in chosen.items()})
        except ValidationError as error:
            places = {key: index for key, (index, _) in chosen.items()}
            raise scenario_error(error, method.options, loaded.document, path, places) from error
        except Exception as error:
            # A third party's options may check themselves, and break over it.
            raise loaded.error(f"the options of {method.name} fail: {described(error)}", path) from error
        yield MethodChoice(name=method.name, options=options), own_axes


def _no_such_option(method: Method, key: str) -> str:
    if key in WHOLE_SCENARIO:
        return f"'{key}' is of the scenario as a whole, not of one method"
    known = [*method.options.model_fields, *AXES]
    return f"{method.name} has no option '{key}'{nearest(key, known)}"


def _own_axes(loaded: LoadedScenario, written: dict[str, Any], path: KeyPath) -> dict[str, list[Any]]:
    try:
        axes = Axes.model_validate(written)
    except ValidationError as error:
        raise scenario_error(error, Axes, loaded.document, path) from error
    return {name: getattr(axes, name) for name in written}


def _cell(
    scenario: Scenario,
    model: ModelChoice,
    choice: MethodChoice,
    device: ResolvedDevice,
    values: dict[str, Any],
) -> Cell:
    method = METHODS[choice.name]
    if isinstance(values["seq"], Lengths):
        lengths = values["seq"].values
        values |= {"seq": max(lengths), "lengths": lengths}
    if method.default_adapter_dtype is None:
        # Without adapters their type is no setting: one cell, not one for each.
        values["adapter_dtype"] = values["dtype"]
    elif values["adapter_dtype"] is None:
        values["adapter_dtype"] = method.default_adapter_dtype(values["dtype"])
    if values["parallel"] != SHARDED:
        values["shard"] = Shard()  # which nothing else reads
    return Cell(
        model=model,
        method=choice,
        device=device.device,
        gpu=device.gpu,
        steps=scenario.steps,
        seed=scenario.seed,
        **values,
    )
