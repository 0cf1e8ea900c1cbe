"""One conclusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lorafa_prof.figures.kit.points import Point
from lorafa_prof.results.marks import DISTURBED

HELD, PEAK, STEP, SPEED = "activation_bytes", "peak_allocated_bytes", "step_ms_median", "tokens_per_s"

Kind = Literal["methods", "out of memory", "setting", "size", "failed"]


@dataclass(frozen=True)
class Conclusion:
    """A sentence or two on a run.

    Attributes:
        kind: methods: one against another; out of memory; setting: what one changes; size: of a cell that
            nothing is compared with; failed: without a result.
        text: whole sentences, of one line.
        cell_ids: the cells that it is about; of ``methods`` the cell and the one that it is compared with.
    """

    kind: Kind
    text: str
    cell_ids: tuple[str, ...]


def undisturbed(point: Point, column: str) -> float | None:
    """A cell's value; None where it is not known, or is that of a disturbed measurement."""
    return None if set(point.against(column)) & set(DISTURBED) else point.value(column)
