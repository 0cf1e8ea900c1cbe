"""Loss while training, over steps, tokens or seconds: training and validation of each model and task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.artist import Artist
from matplotlib.figure import Figure as Drawing

from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.kit.curves import Curve, CurvePanel, Place, curve_handle
from lorafa_prof.figures.kit.learned import RATES_NOTE, groups_in, rows_of
from lorafa_prof.figures.kit.lines import MOST_LINES
from lorafa_prof.figures.kit.page import PanelRow, assemble, column_width, new_drawing
from lorafa_prof.figures.kit.panels import panel_row, plot_height
from lorafa_prof.figures.kit.points import Point, distinct_names, fixed, left_out
from lorafa_prof.figures.kit.scatter import Axis, plain
from lorafa_prof.figures.kit.series import SeriesStyle, styles_of
from lorafa_prof.figures.kit.style import style
from lorafa_prof.quality.group import Group
from lorafa_prof.quality.losses import Loss, in_bins, training_losses, validation_losses
from lorafa_prof.results.records import Results

#: A loss of one step is noise: each point is the mean over a stretch of steps.
_STRETCHES = 40
_TRAINING, _VALIDATION = "training loss (nats)", "validation loss (nats)"

_NOTE = (
    "Means over seeds, and of training over stretches of steps; bands: from the lowest seed to the highest."
)

Learned = tuple[Point, Group]


@dataclass(frozen=True)
class LossChart:
    """A whole figure, over what `axis` says."""

    title: str
    axis: Literal["step", "tokens", "seconds"]
    axis_label: str

    @style()
    def draw(self, results: Results) -> Drawing:
        """Lines are means over the seeds of a cell at its chosen rate, bands from the lowest to the highest.

        Raises:
            NoDataError: no run got to its end, or none has a loss.
            UsageError: the tables of runs or of losses cannot be read.
        """
        everything = groups_in(results)
        cells = _best(everything)
        rows = rows_of(cells)
        points = {point.cell_id: point for point, _ in cells}
        names, styles = distinct_names(list(points.values())), styles_of(list(points.values()))
        height = plot_height(len(rows))
        drawing = new_drawing()
        room = column_width(len(rows))
        placed: list[PanelRow] = []
        handles: dict[str, Artist] = {}
        for name, members in rows.items():
            panels = self._panels([cells[index] for index in members], styles, height)
            if not panels:
                continue
            placed.append(panel_row(drawing, name, panels, room))
            for curve in panels[0].curves:
                handles.setdefault(curve.name, curve_handle(curve, names[curve.name]))
        if not placed:
            raise NoDataError("no learning run has a loss")
        drawn = sum(map(len, rows.values()))
        assemble(
            drawing,
            title=self.title,
            shared=fixed(list(points.values())),
            rows=placed,
            handles=list(handles.values()),
            notes=[
                f"{_NOTE} {RATES_NOTE}",
                *_not_best(len(everything) - len(cells)),
                *left_out(len(cells) - drawn, len(everything)),
            ],
        )
        return drawing

    def _panels(
        self, cells: Sequence[Learned], styles: dict[str, SeriesStyle], height: float
    ) -> list[CurvePanel]:
        training, validation = [], []
        for point, group in cells:
            style_ = styles[point.cell_id]
            stretches = [in_bins(training_losses(run), _STRETCHES) for run in group.runs]
            evaluations = [validation_losses(run) for run in group.runs]
            training.append(Curve(point.cell_id, style_, self._places(stretches), marked=False))
            validation.append(Curve(point.cell_id, style_, self._places(evaluations), marked=False))
        panels = [(_TRAINING, training), (_VALIDATION, validation)]
        x = Axis(self.axis_label, plain)
        return [
            CurvePanel(label, [curve for curve in curves if curve.places], x, Axis(label, plain), height)
            for label, curves in panels
            if any(curve.places for curve in curves)
        ]

    def _places(self, seeds: Sequence[Sequence[Loss]]) -> tuple[Place, ...]:
        """Means over the seeds, stretch by stretch, as far as all have them."""
        places = []
        for losses in zip(*seeds, strict=False):
            at = sum(getattr(each, self.axis) for each in losses) / len(losses)
            values = [each.loss for each in losses]
            places.append(Place(at, sum(values) / len(values), min(values), max(values)))
        return tuple(places)


def _best(cells: Sequence[Learned]) -> list[Learned]:
    """All cells, or where they are many of each model, task and method that which validates best."""
    if len(cells) <= MOST_LINES:
        return list(cells)
    best: dict[tuple[str, str, str], Learned] = {}
    for cell in cells:
        point, group = cell
        key = (point.model, group.task, point.method)
        if key not in best or _validated(group) > _validated(best[key][1]):
            best[key] = cell
    return list(best.values())


def _validated(group: Group) -> tuple[float, ...]:
    return (group.chosen.validated if group.chosen else None) or ()


def _not_best(count: int) -> list[str]:
    return (
        [f"Not drawn: {count:,} cells; of each method that which is best on the validation split."]
        if count
        else []
    )
