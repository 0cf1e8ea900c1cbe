"""Figures, one file each, found by `FIGURES`; third parties add to group ``lorafa_prof.figures``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafa_prof.registry import Registry

if TYPE_CHECKING:
    from lorafa_prof.figures.figure import Figure, RecordFigure


def _name(figure: Figure | RecordFigure) -> str:
    return figure.name


FIGURES: Registry[Figure | RecordFigure] = Registry(
    kind="figure",
    package="lorafa_prof.figures",
    attribute="FIGURE",
    group="lorafa_prof.figures",
    name_of=_name,
)
