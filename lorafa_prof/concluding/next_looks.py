"""What is worth a look after a run, as commands."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lorafa_prof.concluding.conclusion import Conclusion
from lorafa_prof.concluding.naming import gpu_name
from lorafa_prof.devices.gpus.gpu import catalogued
from lorafa_prof.figures.kit.points import Point


class NextLook(NamedTuple):
    """A command, and what it shows: "which tensors make the difference"."""

    shows: str
    command: str


def next_looks(found: Sequence[Conclusion], points: Sequence[Point], out: Path) -> list[NextLook]:
    """What explains conclusions on the cells of the results in `out`, and the report of all of them.

    Only cells whose GPU has a twin are explained by one.
    """
    explained = {point.cell_id for point in points if catalogued(gpu_name(point)) is not None}
    looks = [NextLook("a page of all this", f"lorafa-prof report {shlex.quote(str(out))}")]
    lost = next((each for each in found if each.kind == "out of memory"), None)
    if lost is not None and explained.issuperset(lost.cell_ids):
        looks.insert(0, NextLook("what would make the last of these fit", _explain(out, lost.cell_ids[-1])))
    pair = next((each for each in found if each.kind == "methods"), None)
    finished = {point.cell_id for point in points if point.ok}
    if pair is not None and (explained & finished).issuperset(pair.cell_ids):
        looks.insert(0, NextLook("which tensors make that difference", _explain(out, *pair.cell_ids)))
    return looks


def _explain(out: Path, cell_id: str, against: str | None = None) -> str:
    """Cells are named by the end of their ids, a digest of their settings."""
    setting = ["--against", _digest(against)] if against is not None else []
    return shlex.join(["lorafa-prof", "explain", str(out), "-k", _digest(cell_id), *setting])


def _digest(cell_id: str) -> str:
    return cell_id.rpartition("_")[2]
