"""Finding the files of a data set's parts in a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.rows.source import Part, Source, key_of


def find_file(folder: Path, source: Source, part: Part) -> Path | None:
    """Return the file of a part, by its name: in `folder`, or in a folder there that is called like the set.

    Names such as ``boolq-train.json.gz``, ``SST-2/train.tsv`` and ``ARC-Easy/test.json`` are known; so is a
    bare ``train.json`` in a folder that has nothing else.

    Raises:
        UsageError: two files could be it.
    """
    here = _readable(folder, source)
    for names in source.keys(part):
        if found := _one_of([file for file in here if key_of(file) in names], folder):
            return found
    own = [each for each in sorted(folder.iterdir()) if each.is_dir() and key_of(each) in source.stems]
    for each in own or [folder]:
        files = _readable(each, source)
        for names in [*source.keys(part), *source.bare_keys(part)]:
            if found := _one_of([file for file in files if key_of(file) in names], each):
                return found
    return None


def _readable(folder: Path, source: Source) -> list[Path]:
    return [each for each in sorted(folder.iterdir()) if each.is_file() and source.reader(each)]


def _one_of(files: Iterable[Path], folder: Path) -> Path | None:
    found = list(files)
    if len(found) > 1:
        raise UsageError(
            f"{folder} has {found[0].name} and {found[1].name}, and which one is meant cannot be told; "
            "move one away, or name a file"
        )
    return found[0] if found else None
