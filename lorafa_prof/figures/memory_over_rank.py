"""Peak and activation memory of a step over the adapter rank."""

from __future__ import annotations

from lorafa_prof.figures.figure import Figure
from lorafa_prof.figures.kit.lines import LineChart

_CHART = LineChart("Memory of one training step over the adapter rank", "rank", "rank", logarithmic=True)

FIGURE = Figure("memory-over-rank", _CHART.title, _CHART.draw)
