"""The rows to train on and those to test on, from wherever a task's data is."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.rows.find import find_file
from lorafa_prof.tasks.rows.hub import hub_rows, is_saved, saved_rows
from lorafa_prof.tasks.rows.row import Rows
from lorafa_prof.tasks.rows.source import Part, Source
from lorafa_prof.tasks.rows.table import read_file

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
PARTS: tuple[Part, Part] = ("train", "test")


@dataclass(frozen=True)
class Parts:
    """What there is of a data set.

    Attributes:
        train: None: nothing to train on.
        test: None: nothing to test on.
        where: names all of it, for messages.
    """

    train: Rows | None
    test: Rows | None
    where: str


def read_parts(choice: TaskChoice, sources: Sequence[Source]) -> Parts:
    """Return a task's rows, by the first of `sources` that something is found of.

    Args:
        choice: its `data` is a file, a folder, or an id of the hub in place of the sources' own.
        sources: the forms in which the data set is known.

    Raises:
        UsageError: nothing is there, or it cannot be read.
    """
    path = Path(choice.data).expanduser()
    # Of `os.path`, since that of `Path` raises where a name is too long.
    if not choice.data or not os.path.exists(path):  # noqa: PTH110
        return _from_hub(choice, sources)
    if path.is_dir() and is_saved(path):
        train, test = (saved_rows(sources[-1], path, part) for part in PARTS)
        return _found(choice, train, test, path)
    if path.is_dir():
        return _from_folder(choice, sources, path)
    for source in sources:
        if read := source.reader(path):
            rows = Rows(str(path), read_file(path, read))
            is_train = source.part_of(path) == "train"
            return _found(choice, rows if is_train else None, None if is_train else rows, path)
    raise UsageError(
        f"task '{choice.name}' reads no file like {path}; it reads {_ends(sources)}, gzipped or not",
        about="data",
    )


def _from_folder(choice: TaskChoice, sources: Sequence[Source], folder: Path) -> Parts:
    for source in sources:
        train, test = (_of_folder(folder, source, part) for part in PARTS)
        if train or test:
            return _found(choice, train, test, folder)
    return _found(
        choice,
        None,
        None,
        folder,
        f"; its files are called {sources[0].stems[0]}-train, "
        f"{sources[0].stems[0]}-test or the like, and end in {_ends(sources)}",
    )


def _of_folder(folder: Path, source: Source, part: Part) -> Rows | None:
    file = find_file(folder, source, part)
    read = source.reader(file) if file else None
    return Rows(str(file), read_file(file, read)) if file and read else None


def _from_hub(choice: TaskChoice, sources: Sequence[Source]) -> Parts:
    source = sources[-1]
    name = choice.data or source.hub
    if choice.data and not _HUB_ID.fullmatch(choice.data):
        raise UsageError(f"task '{choice.name}': there is no file or folder {choice.data}", about="data")
    if not name:
        raise UsageError(
            f"task '{choice.name}' has no data set on the hub; set data to a local file or folder",
            about="data",
        )
    train, test = (hub_rows(source, name, part) for part in PARTS)
    return _found(choice, train, test, name)


def _found(
    choice: TaskChoice, train: Rows | None, test: Rows | None, where: Path | str, hint: str = ""
) -> Parts:
    if train is None and test is None:
        raise UsageError(f"task '{choice.name}': {where} has no data of it{hint}", about="data")
    return Parts(train, test, str(where))


def _ends(sources: Sequence[Source]) -> str:
    return ", ".join(dict.fromkeys(end for source in sources for end, _ in source.readers))
