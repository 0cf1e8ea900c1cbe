"""The picture: every published number, and what ours are of it under each assumed setting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lorafa_prof.claims.checks import Check
from lorafa_prof.figures.kit.page import MARGIN, Panel, PanelRow, assemble, new_drawing
from lorafa_prof.figures.kit.style import BLACK, FAINT, GREY, INK, current_page, paler, pt, style
from lorafa_prof.figures.save import write_drawing
from lorafa_prof.report.published.experiment import Experiment, Judged, experiment
from lorafa_prof.report.published.folder import BOTH, By, PublishedFolder
from lorafa_prof.report.published.marks import picture_note
from lorafa_prof.words.phrases import one_line

PICTURE_NAME = "published"

#: What a scenario reads into a text without a number, or adds to it, says so in its source.
_NOT_PUBLISHED = "our "
# Inches of a line, its label included; times the published number.
_LINE, _MOST = 0.29, 2.05


@dataclass(frozen=True)
class Published:
    """A claim with a number: ours, in each row of settings, as a multiple of it."""

    label: str
    least: float
    most: float
    ours: dict[By, list[float]]


def draw_picture(folder: PublishedFolder) -> Iterator[str]:
    """Write ``published.png`` and ``.pdf`` beside the page: its scenarios in the order of their names."""
    names = sorted(folder.scenarios())
    numbers = [number for name in names for number in published_in(experiment(name, folder))]
    if not numbers:
        yield f"{PICTURE_NAME}: not drawn, no claim of the page's scenarios is a number that was published"
        return
    with style():
        drawing = draw(numbers, picture_note(folder.page_text()))
        yield from map(str, write_drawing(drawing, folder.path, PICTURE_NAME, ("png", "pdf")))


def published_in(judged: Experiment) -> Iterator[Published]:
    """The claims of a scenario that are a number somebody published."""
    for index, claim in enumerate(judged.claims):
        if _NOT_PUBLISHED in (claim.source or ""):
            continue
        for metric in claim.metric:
            of_metric = [
                number
                for row in judged.rows
                for number in row.claims.get(index, [])
                if number.check.metric.name == metric
            ]
            name = f"{claim.name}: {metric}" if len(claim.metric) > 1 else claim.name
            yield from _published(name, of_metric)


def _published(name: str, judged: Sequence[Judged]) -> Iterator[Published]:
    """The line of one claim; none where it is about something else than a number."""
    check = judged[0].check
    number = number_of(check)
    if number is None:
        return
    items = {by: [judgement.by(by) for judgement in judged] for by in BOTH}
    ours = {
        by: [float(item.value) / number for item in there if item is not None and item.value is not None]
        for by, there in items.items()
    }
    least, most = (float(limit) / number for limit in check.expected.limits)
    yield Published(one_line(f"{check.cell.model.name}: {name}"), least, most, ours)


def number_of(check: Check) -> float | None:
    """The number itself: of two, as of a GB that may be 10^9 or 2^30 bytes, the smaller one."""
    low = check.expected.low
    # "Up to" is a range that starts where nothing is saved, and "does not fit" no number.
    if low is None or not low or (check.kind == "ratio" and low == 1 and check.expected.high != 1):
        return None
    return float(low)


def draw(numbers: Sequence[Published], note: str) -> Drawing:
    """A line for each published number, with `note` below if it says something."""
    drawing = new_drawing()
    axes = drawing.add_axes((0, 0, 1, 1))
    for line, number in enumerate(numbers):
        _draw_line(axes, len(numbers) - 1 - line, number)
    axes.set_xlim(-0.02, _MOST)
    axes.set_xticks([0, 0.5, 1, 1.5, 2], ["0", "0.5", "1", "1.5", "2"])
    axes.set_ylim(-0.4, len(numbers) - 0.2)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("ours, as a multiple of the published number")
    width = current_page().width - 2 * MARGIN - 0.1
    row = PanelRow((Panel(axes, MARGIN + 0.05, width),), _LINE * len(numbers), 0.05, 0.36)
    assemble(
        drawing,
        title="Published numbers, and ours",
        subtitle="A mark for each setting that was assumed; 1 is the published number.",
        rows=[row],
        handles=[
            Line2D([], [], color=INK, marker="o", linestyle="", markersize=pt(4), label="measured"),
            Line2D([], [], color=GREY, marker="|", linestyle="", markersize=pt(6), label="predicted"),
            Patch(color=paler(FAINT, 0.5), label="as published, within the tolerance"),
        ],
        notes=[note] if note else [],
    )
    return drawing


def _draw_line(axes: Axes, height: int, number: Published) -> None:
    most = _MOST if math.isinf(number.most) else number.most
    axes.barh(height, most - number.least, 0.42, number.least, color=paler(FAINT, 0.5), zorder=0)
    axes.plot([1, 1], [height - 0.21, height + 0.21], color=BLACK, linewidth=pt(0.8), zorder=1)
    axes.text(0.01, height + 0.28, number.label, va="bottom", zorder=3)
    looks = {"predicted": (GREY, "|", 6.0, 1), "measured": (INK, "o", 3.6, 2)}
    for by, values in number.ours.items():
        color, marker, size, order = looks[by]
        xs = [min(value, _MOST) for value in values]
        axes.plot(
            xs,
            [height] * len(xs),
            color=color,
            marker=marker,
            linestyle="",
            markersize=pt(size),
            markeredgecolor="white" if by == "measured" else color,
            markeredgewidth=pt(0.4 if by == "measured" else 0.8),
            zorder=order,
            clip_on=False,
        )
