"""What memory buys of quality: the task's metric against the peak while training."""

from __future__ import annotations

from lorafa_prof.figures.figure import RecordFigure
from lorafa_prof.figures.kit.quality_against import QualityAgainst
from lorafa_prof.quality.group import Group
from lorafa_prof.words.scales import bytes_scale


def _peak(group: Group) -> float | None:
    return group.peak_allocated_bytes


_CHART = QualityAgainst("Quality against memory", _peak, "peak allocated", bytes_scale, "the least memory")
FIGURE = RecordFigure("quality-against-memory", _CHART.title, _CHART.draw, of_learning=True)
