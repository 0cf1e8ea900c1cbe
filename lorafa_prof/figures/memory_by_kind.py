"""What holds the memory of a step, the tensors that autograd saved told apart by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure as Drawing

from lorafa_prof.figures.figure import NoDataError, RecordFigure
from lorafa_prof.figures.kit.bar import Bar
from lorafa_prof.figures.kit.bars import MOST_BARS
from lorafa_prof.figures.kit.memory_stack import PEAK, STATIC, MemoryStack, PartLook
from lorafa_prof.figures.kit.points import Point, points_of
from lorafa_prof.figures.kit.style import BLACK, GREEN, ORANGE, VERMILION, YELLOW, style
from lorafa_prof.results.records import Results

SAVED = {
    "linear_input": PartLook("saved: linears' inputs", ORANGE),
    "adapter": PartLook("saved: adapters", VERMILION),
    "norm": PartLook("saved: norms", YELLOW),
    "attention": PartLook("saved: attention", GREEN),
    "mlp_activation": PartLook("saved: MLP activations", "#8C5A00"),
    "dropout_mask": PartLook("saved: dropout masks", BLACK),
    "logits_loss": PartLook("saved: logits and loss", "#332288"),
    "other": PartLook("saved: other", "#F5D9A8", "....."),
}
"""The kinds of `details.saved`."""

_UNSAVED = "unsaved"
_STACK = MemoryStack(
    "Memory of one training step, by kind",
    {
        **STATIC,
        **{f"saved_{kind}": look for kind, look in SAVED.items()},
        _UNSAVED: PartLook("held, not saved", "#F3E3C3", "xxxx"),
    },
)
_NOTE = (
    "Held, not saved: the rest of the activation memory, such as the loss and what the allocator rounds up."
)


def _saved_by_kind(details: Mapping[str, Any]) -> dict[str, float] | None:
    """Bytes by part of the stack; what was there before the step (the batch's ids) is no activation."""
    if not details.get("saved"):
        return None
    total: Counter[str] = Counter()
    for storage in details["saved"]["storages"]:
        if not storage["from_before"]:
            kind = storage["kind"] if storage["kind"] in SAVED else "other"
            total[f"saved_{kind}"] += storage["nbytes"]
    return {key: float(length) for key, length in total.items()}


def _bar(point: Point, saved: Mapping[str, float]) -> Bar | None:
    lengths = {key: length for key in STATIC if (length := point.value(key)) is not None}
    held = point.value("activation_bytes")
    unsaved = held - sum(saved.values()) if held is not None else 0.0
    rest = {_UNSAVED: unsaved} if unsaved > 0 else {}
    return _STACK.bar({**lengths, **saved, **rest}, point.value(PEAK))


def _bars(points: list[Point], results: Results) -> dict[str, Bar]:
    """As many bars as there is room for: no more records are read."""
    bars: dict[str, Bar] = {}
    for point in points:
        if point.ok and len(bars) < MOST_BARS:
            saved = results.read(point.cell_id, _saved_by_kind)
            bar = _bar(point, saved) if saved is not None else None
            bars |= {point.cell_id: bar} if bar else {}
    return bars


@style()
def draw(results: Results) -> Drawing:
    """A `MemoryStack` of every cell that has a record with its saved tensors.

    Raises:
        NoDataError: no cell that finished has one.
    """
    points = points_of(results.table)
    bars = _bars(points, results)
    if not bars:
        raise NoDataError("no finished cell has a record (OUT/cells) that tells what autograd saved")
    drawn = {part.key for bar in bars.values() for part in bar.parts}
    return _STACK.draw(points, bars, [_NOTE] if _UNSAVED in drawn else [])


FIGURE = RecordFigure("memory-by-kind", _STACK.title, draw)
