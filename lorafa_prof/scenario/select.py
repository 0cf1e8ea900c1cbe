"""Selecting cells of a sweep by their settings, as rules of `exclude` and of claims do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from lorafa_prof.cell import Cell, ModelChoice, twin_device, twin_gpu
from lorafa_prof.devices.gpus.gpu import meant_gpu
from lorafa_prof.methods.base import METHODS
from lorafa_prof.parallel.shard import SHARDED
from lorafa_prof.scenario.lengths import lengths_of
from lorafa_prof.scenario.one_or_many import as_list
from lorafa_prof.scenario.options import complete_options, same_option
from lorafa_prof.scenario.schema import AXES, Axes

Rule = Mapping[str, Any]

_MODEL_OPTIONS = tuple(name for name in ModelChoice.model_fields if name not in ("name", "folder"))


def selectable_keys() -> set[str]:
    """Return every key that a rule may have.

    They are model, method, device, gpu, the axes, and the options of models and of methods.
    """
    known = {"model", "method", "device", "gpu", *_MODEL_OPTIONS, *AXES}
    for method in METHODS.values():
        known |= set(method.options.model_fields)
    return known


def selects(rule: Rule, cell: Cell) -> bool:
    """Return whether all keys of `rule` match `cell`, each by any one of its values."""
    return all(any(_is(cell, key, value) for value in as_list(wanted)) for key, wanted in rule.items())


def _is(cell: Cell, key: str, wanted: Any) -> bool:
    if key == "model":
        return bool(cell.model.name == wanted)
    if key == "method":
        return bool(cell.method.name == wanted)
    if key in _MODEL_OPTIONS:
        return bool(getattr(cell.model, key) == wanted)
    if key == "seq":
        return _is_seq(cell, wanted)
    if key == "shard":
        return _is_sharded_so(cell, wanted)
    if key == "instruments":
        several = isinstance(wanted, (list, tuple))
        return tuple(wanted) == cell.instruments if several else wanted in cell.instruments
    method = METHODS[cell.method.name]
    if key in complete_options(method, cell.method.options):
        return same_option(method, cell.method.options, key, wanted)
    return key in Cell.model_fields and bool(getattr(cell, key) == _as_in_cells(key, wanted))


def _as_in_cells(key: str, wanted: Any) -> Any:
    """A GPU, or the device that is its twin, by the catalogue's name; all else as it is."""
    if key not in ("gpu", "device") or not isinstance(wanted, str):
        return wanted
    name = wanted if key == "gpu" else twin_gpu(wanted)
    meant = meant_gpu(name) if name is not None else None
    if meant is None:
        return wanted
    return meant.name if key == "gpu" else twin_device(meant.name)


def _is_sharded_so(cell: Cell, wanted: Any) -> bool:
    """Return whether a cell is sharded, and so as the mapping says, whatever that leaves unsaid."""
    if cell.parallel != SHARDED or not isinstance(wanted, dict):
        return bool(wanted == cell.shard)
    said = cell.shard.model_dump(mode="json")
    return all(key in said and bool(said[key] == value) for key, value in wanted.items())


def _is_seq(cell: Cell, wanted: Any) -> bool:
    """A number is of cells whose steps all have it, a mapping of the run of those lengths."""
    if not isinstance(wanted, dict):
        return not cell.lengths and bool(cell.seq == wanted)
    try:
        return lengths_of(wanted) == cell.lengths
    except ValidationError:
        return False


def cell_settings(cell: Cell) -> dict[str, Any]:
    """Return a cell's settings by the keys of rules, without those that mean nothing to its method."""
    if cell.is_own_code:
        return {"model": cell.model.name, "method": cell.method.name, "device": cell.device, "gpu": cell.gpu}
    settings: dict[str, Any] = {
        "model": cell.model.name,
        **cell.model.model_dump(include=set(_MODEL_OPTIONS)),
        "method": cell.method.name,
        **complete_options(METHODS[cell.method.name], cell.method.options),
        **{name: getattr(cell, name) for name in (*AXES, "device", "gpu")},
    }
    if cell.lengths:
        settings["seq"] = {"lengths": list(cell.lengths)}
    if METHODS[cell.method.name].default_adapter_dtype is None:
        del settings["adapter_dtype"]
    return settings


def chosen_settings(cell: Cell) -> dict[str, Any]:
    """Return those of a cell's settings that are not a scenario's defaults, as JSON has them."""
    if cell.is_own_code:
        return cell_settings(cell)
    fields = METHODS[cell.method.name].options.model_fields
    defaults = {
        **{name: field.get_default(call_default_factory=True) for name, field in fields.items()},
        **ModelChoice(name="").model_dump(include=set(_MODEL_OPTIONS)),
        **{
            name: (values or [None])[0]
            for name, values in Axes.model_validate({}).model_dump(mode="json").items()
        },
    }
    written = cell.model_dump(mode="json", include=set(AXES) - {"seq"})
    settings = {name: written.get(name, value) for name, value in cell_settings(cell).items()}
    return {
        name: value for name, value in settings.items() if name not in defaults or value != defaults[name]
    }


def differing_chosen(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that are not the same in two results of `chosen_settings`, as "before → after"."""
    return {
        name: f"{one.get(name, 'the default')} → {other.get(name, 'the default')}"
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    }
