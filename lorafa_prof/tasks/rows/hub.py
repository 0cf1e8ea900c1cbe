"""Data sets through `datasets`: from the hub, or from a folder that its `save_to_disk` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lorafa_prof.errors import UsageError, described
from lorafa_prof.tasks.rows.row import Rows
from lorafa_prof.tasks.rows.source import Part, Source

#: By these `save_to_disk` is known.
_ON_DISK = ("dataset_dict.json", "dataset_info.json")


def is_saved(path: Path) -> bool:
    """Return whether `save_to_disk` wrote this folder."""
    return any((path / name).is_file() for name in _ON_DISK)


def from_hub(name: str, config: str | None, split: str) -> Any:
    """Return a split of a data set of the hub, as `datasets` has it.

    Raises:
        UsageError: `datasets` is not installed, or the hub has no such data set that can be read from here.
    """
    datasets = _datasets(f"the data set '{name}'")
    shown = f"{name}, {config}" if config else name
    try:
        return datasets.load_dataset(name, config, split=split)
    # It raises what the library does that it asks by, what pyarrow does, and what is the data's own.
    except Exception as error:
        raise _unreadable(f"the data set '{shown}', split '{split}',", error) from error


def split_names(name: str) -> list[str]:
    """Return which splits a data set of the hub has.

    Raises:
        UsageError: as `from_hub`.
    """
    datasets = _datasets(f"the data set '{name}'")
    try:
        return list(datasets.get_dataset_split_names(name))
    except Exception as error:
        raise _unreadable(f"the data set '{name}'", error) from error


def saved_split(folder: Path, names: tuple[str, ...]) -> Any | None:
    """Return the first of these splits that a saved data set has; None: it has none of them.

    Raises:
        UsageError: `datasets` is not installed, or cannot read the folder.
    """
    datasets = _datasets(str(folder))
    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:
        raise UsageError(
            f"{folder} cannot be read by `datasets` ({described(error)}); save it again"
        ) from error
    if not isinstance(loaded, datasets.DatasetDict):
        return loaded if names[0] == "train" else None
    return next((loaded[name] for name in names if name in loaded), None)


def hub_rows(source: Source, name: str, part: Part) -> Rows | None:
    """Return the rows of a part of a data set of the hub; None where the set has no such part.

    Raises:
        UsageError: as `from_hub`.
    """
    split = source.train if part == "train" else source.test
    if not split:
        return None
    found = from_hub(name, source.config, split)
    return Rows(f"the data set '{name}', split '{split}'", found)


def saved_rows(source: Source, folder: Path, part: Part) -> Rows | None:
    """Return the rows of a part of a saved data set; None where it has no such part.

    Raises:
        UsageError: as `saved_split`.
    """
    wanted = (source.train,) if part == "train" else (source.test, "test", "validation")
    found = saved_split(folder, wanted) if all(wanted) else None
    return None if found is None else Rows(f"{folder}, split '{found.split}'", found)


def _unreadable(what: str, error: Exception) -> UsageError:
    return UsageError(
        f"{what} cannot be read from the hub ({described(error)}); check its name and the network, "
        "or set data to a local file or folder",
        about="data",
    )


def _datasets(what: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UsageError(
            f"{what} is read by the package `datasets`, which is not installed: pip install "
            "'lorafa-prof[learn]', or set data to a local file or folder",
            about="data",
        ) from error
    return datasets
