"""Operations executed in forward, in backward and in the rest of a step."""

from __future__ import annotations

from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch
from pandas import DataFrame

from lorafa_prof.figures.figure import Figure, NoDataError
from lorafa_prof.figures.kit.bar import Bar, Stretch
from lorafa_prof.figures.kit.bars import BarChart
from lorafa_prof.figures.kit.points import Point, points_of
from lorafa_prof.figures.kit.style import INK, looks, paler, style
from lorafa_prof.words.scales import flop_scale

_TITLE = "Operations of one training step, by method"
# What each is called, and by how much it is paler than the colour of its method.
_PARTS = {
    "flops_forward": ("forward", 0.0),
    "flops_backward": ("backward", 0.5),
    "rest": ("rest of the step", 0.8),
}


def _bar(point: Point, color: str) -> Bar | None:
    forward, backward = point.value("flops_forward"), point.value("flops_backward")
    lengths = {
        key: value
        for key, value in (("flops_forward", forward), ("flops_backward", backward))
        if value is not None
    }
    if not lengths:
        return None
    step = point.value("flops_step")
    missing = [label for key, (label, _) in _PARTS.items() if key != "rest" and key not in lengths]
    if not missing and step is not None and step > sum(lengths.values()):
        lengths["rest"] = step - sum(lengths.values())
    remark = f"({missing[0]} not counted)" if missing else ""
    return Bar(
        tuple(Stretch(key, value, paler(color, _PARTS[key][1])) for key, value in lengths.items()),
        remark=remark,
    )


@style()
def draw(table: DataFrame) -> Drawing:
    """Stacked bars of the FLOPs of forward, backward and, where the step had more, the rest of it.

    Raises:
        NoDataError: no finished cell has counted FLOPs of forward or backward.
    """
    points = points_of(table)
    look = looks(point.method for point in points)
    bars = {
        point.cell_id: bar for point in points if (bar := _bar(point, look[point.method].color)) is not None
    }
    if not bars:
        raise NoDataError("no finished cell has flops_forward or flops_backward")
    drawn = {stretch.key for bar in bars.values() for stretch in bar.stretches}
    handles = [
        Patch(color=paler(INK, pale), label=label) for key, (label, pale) in _PARTS.items() if key in drawn
    ]
    return BarChart(_TITLE, "operations", flop_scale, handles).draw(points, bars)


FIGURE = Figure("flops", _TITLE, draw)
