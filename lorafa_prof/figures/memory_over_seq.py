"""Peak and activation memory of a step over the sequence length."""

from __future__ import annotations

from lorafa_prof.figures.figure import Figure
from lorafa_prof.figures.kit.lines import MEMORY_AND_CARDS, LineChart

_CHART = LineChart(
    "Memory of one training step over the sequence length",
    "seq",
    "sequence length (tokens)",
    MEMORY_AND_CARDS,
)

FIGURE = Figure("memory-over-seq", _CHART.title, _CHART.draw)
