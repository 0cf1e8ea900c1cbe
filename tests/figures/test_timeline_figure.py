from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Drawing
from timelines import made_up, tiny_timeline

from lorafa_prof.figures.kit import step_panel
from lorafa_prof.figures.timeline import draw_timeline
from lorafa_prof.instruments.allocations.live_bytes import live_bytes
from lorafa_prof.parts import PARTS, BlockKind
from lorafa_prof.step import PHASES, Phase

MIB = 2**20
STEP: list[tuple[Phase, BlockKind, int]] = [
    ("forward", "weights", 100 * MIB),
    ("forward", "activations", 60 * MIB),
    ("forward", "inputs", 512),
    ("backward", "temporaries", 40 * MIB),
    ("backward", "temporaries", -40 * MIB),
    ("backward", "activations", -60 * MIB),
    ("optimizer", "gradients", 512),
]


def drawn(step: Sequence[tuple[Phase, BlockKind, int]]) -> tuple[Drawing, Axes]:
    drawing = draw_timeline(live_bytes(made_up(step)), "a cell")
    return drawing, drawing.axes[0]


@pytest.fixture(scope="module")
def axes() -> Axes:
    return drawn(STEP)[1]


def area(axes: Axes, kind: str) -> tuple[str, float, float]:
    """Colour, lowest and highest point of a kind's area."""
    (found,) = (patch for patch in axes.collections if patch.get_gid() == f"kind:{kind}")
    heights = np.concatenate([path.vertices[:, 1] for path in found.get_paths()])
    return to_hex(found.get_facecolor()[0]).upper(), heights.min(), heights.max()


def texts(drawing: Drawing) -> str:
    return "\n".join(text.get_text() for text in [*drawing.texts, *drawing.axes[0].texts])


def test_kinds_are_stacked_in_their_colours(axes: Axes) -> None:
    assert area(axes, "weights") == (PARTS["weights"].color, 0, 100)
    assert area(axes, "activations") == (PARTS["activations"].color, 0, pytest.approx(160, abs=0.01))
    assert area(axes, "temporaries")[2] == pytest.approx(200, abs=0.01)
    (total,) = (line for line in axes.lines if line.get_gid() == "total")
    assert max(total.get_ydata()) == pytest.approx(200, abs=0.01)
    assert axes.get_ylabel() == "MiB"


def test_the_peak_is_marked_where_it_is(axes: Axes) -> None:
    (mark,) = (line for line in axes.lines if line.get_gid() == "peak")
    assert mark.get_xdata()[0] == 4
    assert mark.get_ydata()[0] == pytest.approx(200, abs=0.01)
    assert "peak 200.000 MiB" in [text.get_text() for text in axes.texts]


def test_phases_begin_at_their_lines(axes: Axes) -> None:
    lines = {str(line.get_gid()): line.get_xdata()[0] for line in axes.lines}
    assert (lines["phase:backward"], lines["phase:optimizer"]) == (4, 7)
    names = [text.get_text() for text in axes.texts if "peak" not in text.get_text()]
    assert names[:2] == ["forward", "backward"]
    assert names[2] in ("optimizer", "opt.")


def test_notes_tell_what_the_peak_is_made_of_and_what_cannot_be_seen() -> None:
    text = texts(drawn(STEP)[0]).replace("\n", " ")
    assert (
        "At the peak (backward module operation): weights 100.000 MiB, activations 60.000 MiB, "
        "temporaries 40.000 MiB." in text
    )
    assert "Too little to see: inputs 512 B, gradients 512 B." in text
    assert "counts events, not time" in text
    assert "allocations and frees" in drawn(STEP)[1].get_xlabel()


def test_only_what_can_be_seen_is_in_the_legend() -> None:
    (legend,) = drawn(STEP)[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["temporaries", "activations", "weights"]


@pytest.mark.parametrize(
    ("events", "names"),
    [
        ((900, 900, 5), ["forward", "backward", "optimizer"]),  # the last reaches back
        ((900, 200, 5), ["forward", "backward", ""]),
        ((900, 75, 75), ["forward", "bwd", "opt."]),
        ((900, 5, 5), ["forward", "", "optimizer"]),
    ],
)
def test_names_of_short_phases_are_short_or_left_out(events: tuple[int, int, int], names: list[str]) -> None:
    step: list[tuple[Phase, BlockKind, int]] = []
    for phase, count in zip(PHASES, events, strict=True):
        step += [(phase, "weights", 512)] * count
    _, axes = drawn(step)
    assert [text.get_text() for text in axes.texts if "peak" not in text.get_text()] == names


def test_a_long_step_is_drawn_with_its_peak_and_few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_panel, "_STRETCHES", 20)
    table = live_bytes(tiny_timeline())
    drawing = draw_timeline(table, "a cell")
    (total,) = (line for line in drawing.axes[0].lines if line.get_gid() == "total")
    assert len(total.get_xdata()) <= 2 * 20 + 2
    assert max(total.get_ydata()) * MIB == pytest.approx(table["allocated_bytes"].max())
    assert total.get_xdata()[-1] == table["event"].iloc[-1]
