"""What time buys of quality: the task's metric against the seconds spent in training."""

from __future__ import annotations

from lorafa_prof.figures.figure import RecordFigure
from lorafa_prof.figures.kit.quality_against import QualityAgainst
from lorafa_prof.quality.group import Group
from lorafa_prof.quality.measures import TRAIN_SECONDS, mean_of
from lorafa_prof.words.scales import seconds_scale


def _seconds(group: Group) -> float | None:
    interval = mean_of(group, TRAIN_SECONDS)
    return None if interval is None else interval.mean


_CHART = QualityAgainst("Quality against time", _seconds, "training time", seconds_scale, "the shortest")
FIGURE = RecordFigure("quality-against-time", _CHART.title, _CHART.draw, of_learning=True)
