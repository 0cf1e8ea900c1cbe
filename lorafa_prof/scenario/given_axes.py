"""Axes that are given one by one, as a command line's options are: made into a scenario, or put over one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lorafa_prof.cell import twin_device
from lorafa_prof.errors import UsageError
from lorafa_prof.methods.base import METHODS
from lorafa_prof.scenario.overrides import Override, apply_override
from lorafa_prof.scenario.schema import AXES
from lorafa_prof.scenario.yaml_data import KeyPath, YamlProblemError, parse_yaml
from lorafa_prof.scenario.yaml_lines import Document

#: By name of the axis, or of a method's option: what was written, as often as it was.
Given = Mapping[str, Sequence[str]]

DEFAULT_METHODS = ("full-ft", "lora", "lora-fa")
#: Those of them that a quantized base, which cannot train, has too.
DEFAULT_METHODS_QUANTIZED = ("lora", "lora-fa")
#: Their values are names and paths, which are taken as they are, or mappings.
_NAMED = ("model", "method", "gpu")
_NAME_LENGTH = 60


def scenario_of_axes(given: Given, command: str) -> Document:
    """The beginning of a scenario that no file has, over which what was given is to be put.

    Args:
        given: at least a model; without a method `DEFAULT_METHODS`.
        command: whose options they are, for errors.

    Raises:
        UsageError: an option is not valid.
    """
    models = _values("model", given["model"])
    return Document(Path(command), {"schema": 1, "name": _name_of(models), "method": _methods_for(given)})


def put_over(document: Document, given: Given, *, device_is_given: bool = False) -> None:
    """Put what was given in the place of what a scenario says, in the entries of its methods too.

    A GPU that is given is predicted for: the device is its twin, unless `device_is_given` otherwise. An
    option of methods goes to all those entries that have it.

    Raises:
        UsageError: an option is not valid, or no method has it.
    """
    for name in ("model", "method", *AXES):
        if name in given:
            value = _one_or_many(_values(name, given[name]))
            apply_override(document, Override((name,), value, written(name, given[name])))
    if "gpu" in given:
        key = "gpu" if device_is_given else "device"
        names = _values("gpu", given["gpu"])
        value = _one_or_many(names if device_is_given else [twin_device(name) for name in names])
        apply_override(document, Override((key,), value, written("gpu", given["gpu"])))
    _put_over_entries(document, given)


def written(name: str, texts: Iterable[str]) -> str:
    """The option as the user wrote it, for errors: "--rank 2 --rank 4"."""
    return " ".join(f"--{name.replace('_', '-')} {text}" for text in texts)


def _put_over_entries(document: Document, given: Given) -> None:
    own = {name: texts for name, texts in given.items() if name not in ("model", "gpu", "method")}
    if not own or not document.data.get("method"):
        return
    entries = _entries(document)
    for name, texts in own.items():
        if name in AXES:
            places = [place for place, entry in entries.items() if isinstance(entry, dict) and name in entry]
            undivided = False
        else:
            places = _owners(name, texts, entries)
            undivided = any(name in METHODS[_name(entries[place])].options.undivided for place in places)
        value = _one_or_many(_values(name, texts, undivided=undivided))
        for place in places:
            if isinstance(document.value_at(place), str):
                _spell_out(document, place)
            apply_override(document, Override((*place, name), value, written(name, texts)))


def _entries(document: Document) -> dict[KeyPath, Any]:
    """The entries of the methods by their places."""
    said = document.data["method"]
    return (
        {("method", i): entry for i, entry in enumerate(said)}
        if isinstance(said, list)
        else {("method",): said}
    )


def _spell_out(document: Document, place: KeyPath) -> None:
    """Write a bare name as a mapping, which can have options."""
    above = document.value_at(place[:-1])
    above[place[-1]] = {"name": above[place[-1]]}


def _owners(option: str, texts: Sequence[str], entries: Mapping[KeyPath, Any]) -> list[KeyPath]:
    """Places of the methods that have the option; a method that nobody knows is told of later."""
    names = {place: _name(entry) for place, entry in entries.items()}
    known = {place: METHODS[name] for place, name in names.items() if name in METHODS}
    owners = [place for place, method in known.items() if option in method.options.model_fields]
    if not owners and len(known) == len(names):
        raise UsageError(f"{written(option, texts)}: none of {', '.join(names.values())} has a {option}")
    return owners


def _name(entry: Any) -> str:
    return str(entry.get("name") if isinstance(entry, dict) else entry)


def _methods_for(given: Given) -> list[str]:
    quantized = any(value != "none" for value in _values("quantization", given.get("quantization", ())))
    return list(DEFAULT_METHODS_QUANTIZED if quantized else DEFAULT_METHODS)


def _values(name: str, texts: Sequence[str], *, undivided: bool = False) -> list[Any]:
    """What was written, divided at commas, as YAML has it."""
    values: list[Any] = []
    for text in texts:
        if name in _NAMED and not text.lstrip().startswith("{"):
            values += [part.strip() for part in text.split(",")]
            continue
        try:
            value, _ = parse_yaml(text if undivided else f"[{text}]")
        except YamlProblemError as error:
            raise UsageError(f"{written(name, [text])}: {error}") from error
        values += [value] if undivided else value
    if name in _NAMED and "" in values:
        raise UsageError(f"{written(name, texts)}: a name is empty")
    return values


def _one_or_many(values: list[Any]) -> Any:
    """A lone value by itself, as one writes it, unless it is a list, which would be taken for several."""
    return values[0] if len(values) == 1 and not isinstance(values[0], list) else values


def _name_of(models: Sequence[Any]) -> str:
    """A name for the scenario, of which its results' folder is called: that of its models."""
    names = [str(model.get("name") if isinstance(model, dict) else model) for model in models]
    parts = [name.rstrip("/").removesuffix("/config.json").rsplit("/", 1)[-1] for name in names]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts))[:_NAME_LENGTH].strip(".-_") or "model"
