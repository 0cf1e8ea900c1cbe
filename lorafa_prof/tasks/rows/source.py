"""A data set: what its files are called, and where the hub has it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from lorafa_prof.tasks.rows.table import Read, read_json

Part = Literal["train", "test"]
#: What a file's or folder's name may call the parts of a data set.
_CALLED: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "test": ("test",),
    "dev": ("dev", "devmatched", "validation", "valid", "val"),
}


@dataclass(frozen=True)
class Source:
    """How a data set is found.

    Attributes:
        stems: what its files and folders are called, in small letters and digits alone ("arceasy").
        hub: its id there; empty: it is not there in a form that can be read.
        config: which of the data set's configurations; None where it has one.
        train: the hub's split to train on; empty: it has none.
        test: the hub's split to test on: one that has answers.
        files_test: which parts a test is made on, of those that a file is there of, the best first.
        readers: of a file by its name's end, without .gz.
        test_is_whole: its file has no part in its name and is what is tested on.
    """

    stems: tuple[str, ...]
    hub: str = ""
    config: str | None = None
    train: str = "train"
    test: str = "test"
    files_test: tuple[str, ...] = ("test", "dev")
    readers: tuple[tuple[str, Read], ...] = ((".json", read_json), (".jsonl", read_json))
    test_is_whole: bool = False

    def keys(self, part: Part) -> list[tuple[str, ...]]:
        """Return the names, as `key_of` gives them, of the files of a part: groups, the best first."""
        names = [_CALLED[each] for each in (("train",) if part == "train" else self.files_test)]
        groups = [tuple(stem + each for stem in self.stems for each in called) for called in names]
        whole = [self.stems] if part == "test" and self.test_is_whole else []
        return [*whole, *groups]

    def bare_keys(self, part: Part) -> list[tuple[str, ...]]:
        """Return the same of files in a folder of the data set's own."""
        return [_CALLED[each] for each in (("train",) if part == "train" else self.files_test)]

    def part_of(self, file: PurePath) -> Part:
        """Return which part a file named by itself is."""
        key = key_of(file)
        if self.test_is_whole and key in self.stems:
            return "test"
        called = [each for name in self.files_test for each in _CALLED[name]]
        return "test" if key.endswith(tuple(called)) else "train"

    def reader(self, file: PurePath) -> Read | None:
        """Return what reads a file of this name; None where nothing does."""
        return next((read for end, read in self.readers if _plain(file).suffix.lower() == end), None)


def key_of(path: PurePath) -> str:
    """Return a file's name as names are compared: without its ends, in small letters and digits alone."""
    return re.sub("[^a-z0-9]", "", _plain(path).stem.lower())


def _plain(path: PurePath) -> PurePath:
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path
