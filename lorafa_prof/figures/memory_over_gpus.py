"""Peak and activation memory of a step on each GPU over the number of GPUs."""

from __future__ import annotations

from lorafa_prof.figures.figure import Figure
from lorafa_prof.figures.kit.lines import MEMORY_AND_CARDS, LineChart

_CHART = LineChart(
    "Memory of one training step on each GPU over the number of GPUs",
    "gpus",
    "GPUs",
    MEMORY_AND_CARDS,
)

FIGURE = Figure("memory-over-gpus", _CHART.title, _CHART.draw)
