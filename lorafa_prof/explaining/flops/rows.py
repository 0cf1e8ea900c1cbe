"""The opinions as rows: modules that are alike in one, with the causes of what differs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lorafa_prof.explaining.flops.differences import why_not_closed, why_not_fvcore
from lorafa_prof.explaining.flops.modules import NONE, Opinions
from lorafa_prof.step import Phase
from lorafa_prof.words.module_paths import like_modules

Opinion = Literal["closed form", "fvcore"]
#: What is held against the executed FLOPs.
OTHERS: tuple[Opinion, ...] = ("closed form", "fvcore")
PHASES: tuple[Phase, ...] = ("forward", "backward")


@dataclass(frozen=True)
class Row:
    """One phase of modules of which all opinions say the same.

    Attributes:
        modules: their paths, at least one.
        phase: forward or backward.
        executed: FLOPs of all of them together that the step executes.
        others: the same by the other opinions; None where one says nothing: fvcore traces forward alone.
        causes: why an opinion's are others; empty where they are the same.
    """

    modules: tuple[str, ...]
    phase: Phase
    executed: int
    others: dict[Opinion, int | None]
    causes: dict[Opinion, tuple[str, ...]]

    @property
    def name(self) -> str:
        """Return the module's path; of several, with ``*`` for the numbers of layers."""
        return self.modules[0] if len(self.modules) == 1 else like_modules(self.modules[0])


def rows_of(opinions: Opinions) -> list[Row]:
    """Return the rows of forward, then of backward, in the order in which the model defines its modules.

    Those of like modules that are not the same, as the first block's and the others', stand together.
    """
    found: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in _single_rows(opinions):
        others, causes = (tuple(each.items()) for each in (row.others, row.causes))
        found[like_modules(row.modules[0]), row.phase, row.executed, others, causes].append(row)
    rows = [_together(several) for several in found.values()]
    places = {
        like: number for number, like in enumerate(dict.fromkeys(like_modules(r.modules[0]) for r in rows))
    }
    return sorted(rows, key=lambda row: (PHASES.index(row.phase), places[like_modules(row.modules[0])]))


def _together(several: list[Row]) -> Row:
    first, count = several[0], len(several)
    return Row(
        modules=tuple(path for row in several for path in row.modules),
        phase=first.phase,
        executed=first.executed * count,
        others={name: None if flops is None else flops * count for name, flops in first.others.items()},
        causes=first.causes,
    )


def _single_rows(opinions: Opinions) -> Iterator[Row]:
    closed, fvcore = opinions.closed, opinions.fvcore
    known = dict.fromkeys((*(closed or {}), *opinions.executed, *(fvcore or {})))
    for index, phase in enumerate(PHASES):
        for path in known:
            others: dict[Opinion, int | None] = dict.fromkeys(OTHERS)
            causes: dict[Opinion, tuple[str, ...]] = dict.fromkeys(OTHERS, ())
            executed = opinions.executed.get(path, NONE)[index]
            if closed is not None:
                others["closed form"] = closed.get(path, NONE)[index]
                causes["closed form"] = why_not_closed(opinions, path, phase)
            if fvcore is not None and phase == "forward":
                others["fvcore"] = fvcore.get(path, 0)
                causes["fvcore"] = why_not_fvcore(opinions, path)
            if executed or any(others.values()):
                yield Row((path,), phase, executed, others, causes)
