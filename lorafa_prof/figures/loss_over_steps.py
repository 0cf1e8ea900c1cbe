"""Training and validation loss over the steps."""

from __future__ import annotations

from lorafa_prof.figures.figure import RecordFigure
from lorafa_prof.figures.kit.loss_curves import LossChart

_CHART = LossChart("Loss over steps", "step", "steps")
FIGURE = RecordFigure("loss-over-steps", _CHART.title, _CHART.draw, of_learning=True)
