"""The memory of one step as it goes, as `lorafa-prof timeline` draws it."""

from __future__ import annotations

from matplotlib.figure import Figure as Drawing
from pandas import DataFrame

from lorafa_prof.figures.kit.page import assemble, column_width, new_drawing
from lorafa_prof.figures.kit.step_panel import (
    NOTE,
    StepMemory,
    at_peak,
    kinds_seen,
    legend,
    step_panel,
    too_small,
)
from lorafa_prof.figures.kit.style import style
from lorafa_prof.words.scales import bytes_scale

TITLE = "Memory over one training step"

_HEIGHT = 1.7


@style()
def draw_timeline(table: DataFrame, subtitle: str) -> Drawing:
    """A stacked area from a table of `live_bytes`, phases and peak marked.

    A note tells what makes up the peak; another names the kinds too small to see, with their most bytes.
    """
    drawing = new_drawing()
    step = StepMemory(table)
    largest = step.largest_bytes
    seen = kinds_seen([step], largest)
    row = step_panel(drawing, step, bytes_scale(largest), largest, column_width(1), _HEIGHT)
    notes = [at_peak(step, seen), *too_small([step], seen), NOTE]
    assemble(drawing, title=TITLE, subtitle=subtitle, rows=[row], handles=legend(seen), notes=notes)
    return drawing
