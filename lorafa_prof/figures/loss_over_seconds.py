"""Training and validation loss over the seconds spent in training, without evaluations."""

from __future__ import annotations

from lorafa_prof.figures.figure import RecordFigure
from lorafa_prof.figures.kit.loss_curves import LossChart

_CHART = LossChart("Loss over seconds", "seconds", "seconds of training")
FIGURE = RecordFigure("loss-over-seconds", _CHART.title, _CHART.draw, of_learning=True)
