"""How many tokens a step trains on per second."""

from __future__ import annotations

from matplotlib.figure import Figure as Drawing
from pandas import DataFrame

from lorafa_prof.figures.figure import Figure, NoDataError
from lorafa_prof.figures.kit.bar import Bar, Stretch
from lorafa_prof.figures.kit.bars import BarChart
from lorafa_prof.figures.kit.points import Point, points_of
from lorafa_prof.figures.kit.style import looks, style
from lorafa_prof.words.scales import tokens_scale

_TITLE = "Training throughput"


def _bar(point: Point, color: str) -> Bar | None:
    rate = point.value("tokens_per_s")
    if rate is None:
        return None
    stretch = Stretch("tokens_per_s", rate, color)
    return Bar((stretch,), spread=_spread(point), doubts=point.against("tokens_per_s"))


def _spread(point: Point) -> tuple[float, float] | None:
    """Tokens/s at the slow and the fast percentile of the step's time."""
    names = ("tokens_per_s", "step_ms_median", "step_ms_p95", "step_ms_p05")
    rate, median, slow, fast = (point.value(name) for name in names)
    if not (rate and median and slow and fast):
        return None
    return rate * median / slow, rate * median / fast


@style()
def draw(table: DataFrame) -> Drawing:
    """Bars of tokens per second, with the spread of the step's time.

    Raises:
        NoDataError: no finished cell was timed.
    """
    points = points_of(table)
    look = looks(point.method for point in points)
    bars = {
        point.cell_id: bar for point in points if (bar := _bar(point, look[point.method].color)) is not None
    }
    if not bars:
        raise NoDataError("no finished cell has tokens_per_s; a predicted step is not timed")
    spread = any(bar.spread for bar in bars.values())
    notes = ["Bars: median step. Lines: 5th to 95th percentile of the step's time."] if spread else []
    return BarChart(_TITLE, "throughput", tokens_scale, notes=notes).draw(points, bars)


FIGURE = Figure("throughput", _TITLE, draw)
