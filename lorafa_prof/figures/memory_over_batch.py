"""Peak and activation memory of a step over the batch."""

from __future__ import annotations

from lorafa_prof.figures.figure import Figure
from lorafa_prof.figures.kit.lines import MEMORY_AND_CARDS, LineChart

_CHART = LineChart("Memory of one training step over the batch", "batch", "batch (samples)", MEMORY_AND_CARDS)

FIGURE = Figure("memory-over-batch", _CHART.title, _CHART.draw)
