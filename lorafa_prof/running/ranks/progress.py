"""Where each rank is, written where whoever watches it can read, also when it is gone or hangs."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from lorafa_prof.step import Phase, PhaseTracker
from lorafa_prof.words.phrases import first_of

_NAME = "rank-{}.at"
_LENGTH = 200
_MOST_NAMED = 4
#: Parts of measuring a cell that have phases of steps, and say them.
_PHASED = ("", "build", "warmup", "memory")


@dataclass(frozen=True)
class Place:
    """A part of measuring a cell, and the step and phase in it."""

    part: str = ""
    phase: str = "build"
    step: int = 0

    def __str__(self) -> str:
        if self.part not in _PHASED:
            return f"the {self.part} pass"
        return f"{self.phase} of step {self.step}" if self.step else self.phase


class RankTracker(PhaseTracker):
    """A tracker of phases that also tells where its rank is, by a file."""

    def __init__(self, folder: Path, rank: int) -> None:
        super().__init__()
        self.part = ""
        self._file = os.open(folder / _NAME.format(rank), os.O_WRONLY | os.O_CREAT, 0o600)

    def part_started(self, part: str) -> None:
        """Tell that this part of measuring starts."""
        self.part = part
        self._tell()

    def phase_started(self, phase: Phase) -> None:
        """Remember and tell the phase."""
        super().phase_started(phase)
        self._tell()

    @property
    def place(self) -> Place:
        """Where this rank is."""
        return Place(self.part, self.phase, self.step)

    def _tell(self) -> None:
        # At once and always as long, so that nobody reads half of it or the end of another.
        os.pwrite(self._file, json.dumps(asdict(self.place)).ljust(_LENGTH).encode(), 0)


#: Where the ranks of the cell that this process measures tell where they are; "": in a folder of their own.
_FOLDER_VARIABLE = "LORAFA_PROF_RANKS"


def tell_in(folder: Path) -> None:
    """Let the ranks of this process's cell tell in `folder` where they are, for whoever ends it."""
    os.environ[_FOLDER_VARIABLE] = str(folder)


@contextmanager
def ranks_folder() -> Iterator[Path]:
    """A context with the folder in which this process's ranks leave what they have to say."""
    if folder := os.environ.get(_FOLDER_VARIABLE):
        yield Path(folder)
        return
    with tempfile.TemporaryDirectory(prefix="ranks-") as name:
        yield Path(name)


def where_ranks_are(folder: Path, count: int) -> str:
    """Return where each of `count` ranks was last, in words: "rank 0 was in build"."""
    places = enumerate(places_in(folder, count))
    return first_of([f"rank {rank} was in {place}" for rank, place in places], _MOST_NAMED)


def places_in(folder: Path, count: int) -> list[Place]:
    """Return where each of `count` ranks was last."""
    return [_place_in(folder / _NAME.format(rank)) for rank in range(count)]


def _place_in(file: Path) -> Place:
    try:
        return Place(**json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):  # it has not told anything yet
        return Place()
