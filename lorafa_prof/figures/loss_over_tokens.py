"""Training and validation loss over the tokens trained on, without padding."""

from __future__ import annotations

from lorafa_prof.figures.figure import RecordFigure
from lorafa_prof.figures.kit.loss_curves import LossChart

_CHART = LossChart("Loss over tokens", "tokens", "tokens trained on")
FIGURE = RecordFigure("loss-over-tokens", _CHART.title, _CHART.draw, of_learning=True)
