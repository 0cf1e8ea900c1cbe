"""Paths in a scenario: they start at its file; those of the command line where they are typed."""

from __future__ import annotations

import os
from pathlib import Path

from lorafa_prof.models.preset import PRESETS
from lorafa_prof.models.resolve import looks_like_path
from lorafa_prof.scenario.schema import Scenario
from lorafa_prof.scenario.yaml_data import KeyPath
from lorafa_prof.scenario.yaml_lines import Document


def with_paths_from(document: Document, scenario: Scenario) -> tuple[Scenario, tuple[str, ...]]:
    """Let paths of models and data start at the scenario's file, but for those of the command line.

    One that leads nowhere from there, but somewhere from the current directory, where paths once started,
    starts there for one release more, and a note says so.
    """
    folder = document.file.parent
    if folder == Path():
        return scenario, ()
    models, task, notes = list(scenario.model), scenario.task, []
    for index, model in enumerate(models):
        place: KeyPath = ("model", index)
        if model.folder or model.name in PRESETS or not _is_written(document, place):
            continue
        if _starts_at(folder, model.name):
            models[index] = model.model_copy(update={"folder": str(folder)})
        elif _exists(model.name):
            notes.append(_note(document, place, model.name))
    if task is not None and task.data and _is_written(document, ("task", "data")):
        if _starts_at(folder, task.data):
            task = task.model_copy(update={"data": str(folder / os.path.expanduser(task.data))})  # noqa: PTH111
        elif _exists(task.data):
            notes.append(_note(document, ("task", "data"), task.data))
    return scenario.model_copy(update={"model": models, "task": task}), tuple(notes)


def _starts_at(folder: Path, name: str) -> bool:
    """Whether that is a path from `folder`: one that is there, or can be nothing else and is nowhere."""
    return _exists(folder / os.path.expanduser(name)) or (  # noqa: PTH111
        looks_like_path(name) and not _exists(name)
    )


def _exists(path: Path | str) -> bool:
    # Of `os.path`, since those of `Path` raise where a name is too long.
    return os.path.exists(path)  # noqa: PTH110


def _note(document: Document, place: KeyPath, name: str) -> str:
    right = os.path.relpath(name, document.file.parent)
    message = (
        f"'{name}' is not beside this file and is taken from the folder you are in; write {right}, since the "
        "next release looks only beside the file"
    )
    return str(document.error(message, place))


def _is_written(document: Document, place: KeyPath) -> bool:
    """Whether what stands there is the file's own, and not the command line's."""
    path = document.as_written(place)
    return not any(
        replaced[: len(path)] == path or path[: len(replaced)] == replaced for replaced in document.replaced
    )
