"""How values of marked rows are drawn, and the line that says so; `Point.against` says which these are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from lorafa_prof.figures.kit.style import pt
from lorafa_prof.results.marks import meanings

#: Of a bar; the parts of memory have other ones.
_HATCH = "\\\\\\\\\\\\"
#: Of a ring's size to that of the marker in it.
_AROUND = 2.2


def draw_rings(
    axes: Axes,
    places: Sequence[tuple[float, float]],
    size: float,
    color: object,
    gid: str,
    *,
    level: bool = False,
) -> None:
    """Draw a ring around each of the markers, which are of this size.

    A ring, since lines of one method may have hollow markers without any mark. With `level` places are shares
    of the axes' width.
    """
    if not places:
        return
    xs, ys = zip(*places, strict=True)
    axes.plot(
        xs,
        ys,
        linestyle="none",
        marker="o",
        markersize=size * _AROUND,
        markerfacecolor="none",
        color=color,
        markeredgecolor=color,
        markeredgewidth=pt(0.7),
        clip_on=False,
        transform=axes.get_yaxis_transform() if level else axes.transData,
        gid=gid,
    )


def hatch(
    axes: Axes,
    middle: float,
    length: float,
    thickness: float,
    color: str | tuple[float, float, float],
    gid: str,
) -> None:
    """Hatch a bar of this length whose colour this is."""
    edge = "white" if sum(to_rgb(color)) < 2 else "#333333"
    drawn = axes.barh(middle, length, thickness, facecolor="none", edgecolor=edge, hatch=_HATCH, linewidth=0)
    drawn.patches[0].set_gid(gid)


def rings_note(marks: Iterable[Collection[str]]) -> list[str]:
    """What rings say, by the marks of each value drawn; nothing where none has any."""
    return _note("Ringed", marks)


def hatches_note(marks: Iterable[Collection[str]]) -> list[str]:
    """What hatches say, by the marks of each bar drawn; nothing where none has any."""
    return _note("Hatched", marks)


def _note(sign: str, marks: Iterable[Collection[str]]) -> list[str]:
    said = meanings({name for names in marks for name in names})
    return [f"{sign}, and worth less than the others: {said}."] if said else []
