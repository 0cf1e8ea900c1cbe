"""Quality against what it costs, and the cells that no other one is better than: a panel a model and task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure as Drawing

from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.kit.learned import LearnedCell, learned_cells, quality_label, rows_of, seeds_note
from lorafa_prof.figures.kit.page import assemble, column_width, new_drawing
from lorafa_prof.figures.kit.panels import panel_row, plot_height
from lorafa_prof.figures.kit.points import distinct_names, fixed, left_out
from lorafa_prof.figures.kit.scatter import Axis, Mark, ScatterPanel, method_handles, plain
from lorafa_prof.figures.kit.style import Look, looks, style
from lorafa_prof.quality.group import Group
from lorafa_prof.quality.weighing import front
from lorafa_prof.results.records import Results
from lorafa_prof.words.phrases import count, first_of
from lorafa_prof.words.scales import Scale

_MOST_NAMED = 8


@dataclass(frozen=True)
class QualityAgainst:
    """A whole figure.

    Attributes:
        cost: of a group; None where it is not known.
        scale: the unit of the axis, by the largest cost.
        least: what having least of it is called: "the least memory".
    """

    title: str
    cost: Callable[[Group], float | None]
    cost_label: str
    scale: Callable[[float], Scale]
    least: str

    @style()
    def draw(self, results: Results) -> Drawing:
        """A point for each cell, with the interval of its quality, and their Pareto front.

        Raises:
            NoDataError: no run got to its end, or none has a metric and a cost.
            UsageError: the table of runs cannot be read.
        """
        everything = learned_cells(results)
        cells = [cell for cell in everything if self.cost(cell.group)]
        if not cells:
            raise NoDataError(f"no learning run has a metric and its {self.cost_label}")
        look = looks(cell.point.method for cell in cells)
        names = distinct_names(list({cell.point.cell_id: cell.point for cell in cells}.values()))
        rows = rows_of([(cell.point, cell.group) for cell in cells])
        height = plot_height(len(rows))
        drawing = new_drawing()
        room = column_width(len(rows))
        placed, notes = [], []
        for name, places in rows.items():
            members = [cells[place] for place in places]
            best = front(members, lambda cell: self.cost(cell.group) or 0.0, lambda cell: cell.quality.mean)
            placed.append(panel_row(drawing, name, [self._panel(members, best, look, height)], room))
            told = first_of([names[cell.point.cell_id] for cell in best], _MOST_NAMED, between="; ")
            of = f" of {name}" if len(rows) > 1 else ""
            notes.append(f"On the front{of}, from {self.least} on: {told}.")
        drawn = sum(map(len, rows.values()))
        without = len(everything) - len(cells)
        assemble(
            drawing,
            title=self.title,
            shared=fixed([cell.point for cell in cells]),
            rows=placed,
            handles=method_handles(look),
            notes=[
                seeds_note(cells),
                *notes,
                *([f"Not drawn: {count(without, 'cell')} without {self.cost_label}."] if without else []),
                *left_out(len(cells) - drawn, len(cells)),
            ],
        )
        return drawing

    def _panel(
        self,
        members: Sequence[LearnedCell],
        best: Sequence[LearnedCell],
        look: dict[str, Look],
        height: float,
    ) -> ScatterPanel:
        scale = self.scale(max(self.cost(cell.group) or 0.0 for cell in members))

        def place(cell: LearnedCell) -> tuple[float, float]:
            return (self.cost(cell.group) or 0.0) / scale.divisor, cell.quality.mean

        return ScatterPanel(
            self.cost_label,
            [Mark(cell.point.method, *place(cell), span=cell.span) for cell in members],
            Axis(f"{self.cost_label} ({scale.unit})", plain),
            Axis(quality_label(cell.group for cell in members), plain),
            look,
            height,
            front=[place(cell) for cell in best],
        )
