"""Draw published.png and .pdf: every published number, and what ours are of it under each assumed setting.

python reports/paper/published.py
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from experiments import FOLDERS, By, Experiment, experiment
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lorafa_prof.claims.checks import Check
from lorafa_prof.figures.kit.page import MARGIN, Panel, PanelRow, assemble, new_drawing
from lorafa_prof.figures.kit.style import BLACK, BLUE, GREEN, GREY, current_page, paler, pt, style
from lorafa_prof.figures.save import write_drawing
from lorafa_prof.scenario.shipped import shipped_scenarios

HERE = Path(__file__).resolve().parent

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


def main() -> None:
    """Draw it."""
    names = [name.removeprefix("paper/") for name in shipped_scenarios() if name.startswith("paper/")]
    found = [each for name in names for each in published_in(experiment(name, HERE))]
    with style():
        for path in write_drawing(draw(found), HERE, "published", ("png", "pdf")):
            print(path)


def published_in(found: Experiment) -> Iterator[Published]:
    """The claims of a scenario that are a number somebody published."""
    for index, claim in enumerate(found.claims):
        judged = [each for row in found.rows for each in row.claims.get(index, [])]
        number = number_of(judged[0].check)
        if number is None or _NOT_PUBLISHED in (claim.source or ""):
            continue
        ours: dict[By, list[float]] = {by: [] for by in FOLDERS}
        for each in judged:
            for by, values in ours.items():
                item = each.by(by)
                if item is not None and item.value is not None:
                    values.append(float(item.value) / number)
        least, most = (float(limit) / number for limit in judged[0].check.expected.limits)
        yield Published(f"{judged[0].check.cell.model.name}: {claim.name}", least, most, ours)


def number_of(check: Check) -> float | None:
    """The number itself: of two, as of a GB that may be 10^9 or 2^30 bytes, the smaller one."""
    low = check.expected.low
    # "Up to" is a range that starts where nothing is saved, and "does not fit" no number.
    if low is None or not low or (check.kind == "ratio" and low == 1 and check.expected.high != 1):
        return None
    return float(low)


def draw(found: list[Published]) -> Drawing:
    """A line for each published number."""
    drawing = new_drawing()
    axes = drawing.add_axes((0, 0, 1, 1))
    for place, each in enumerate(found):
        _draw_line(axes, len(found) - 1 - place, each)
    axes.set_xlim(-0.02, _MOST)
    axes.set_xticks([0, 0.5, 1, 1.5, 2], ["0", "0.5", "1", "1.5", "2"])
    axes.set_ylim(-0.4, len(found) - 0.2)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("ours, as a multiple of the published number")
    width = current_page().width - 2 * MARGIN - 0.1
    row = PanelRow((Panel(axes, MARGIN + 0.05, width),), _LINE * len(found), 0.05, 0.36)
    assemble(
        drawing,
        title="Published numbers, and ours",
        subtitle="A mark for each setting that was assumed; 1 is the published number.",
        rows=[row],
        handles=[
            Line2D([], [], color=BLUE, marker="o", linestyle="", markersize=pt(4), label="measured"),
            Line2D([], [], color=GREY, marker="|", linestyle="", markersize=pt(6), label="predicted"),
            Patch(color=paler(GREEN, 0.65), label="as published, within the tolerance"),
        ],
        notes=[
            "Measured on an H100, what is larger on an H200; predicted on the twin of the GPU asked about."
        ],
    )
    return drawing


def _draw_line(axes: Axes, height: int, each: Published) -> None:
    most = _MOST if math.isinf(each.most) else each.most
    axes.barh(height, most - each.least, 0.42, each.least, color=paler(GREEN, 0.65), zorder=0)
    axes.plot([1, 1], [height - 0.21, height + 0.21], color=BLACK, linewidth=pt(0.8), zorder=1)
    axes.text(0.01, height + 0.28, each.label, va="bottom", zorder=3)
    looks = {"predicted": (GREY, "|", 6.0, 1), "measured": (BLUE, "o", 3.6, 2)}
    for by, values in each.ours.items():
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


if __name__ == "__main__":
    main()
