"""The size of the largest cell, where there is nothing to compare it with."""

from __future__ import annotations

from collections.abc import Sequence

from lorafa_prof.concluding.conclusion import HELD, PEAK, Conclusion
from lorafa_prof.concluding.naming import Naming, gpu_name, sentence
from lorafa_prof.devices.gpus.gpu import catalogued
from lorafa_prof.figures.kit.points import Point
from lorafa_prof.words.numbers import percent, size

_RESERVED = "peak_reserved_bytes"


def largest_cell(points: Sequence[Point]) -> list[Conclusion]:
    """What the cell with the largest peak needs, and how much of its GPU's memory that is."""
    finished = [point for point in points if point.value(PEAK) is not None]
    if not finished:
        return []
    point = max(finished, key=lambda each: each.value(PEAK) or 0.0)
    held, peak = point.value(HELD), point.value(PEAK) or 0.0
    holds = f"holds {size(held)} for backward and " if held is not None else ""
    which = "The cell" if len(points) == 1 else "The largest"
    text = sentence(f"{which}, {Naming.of(points).cell(point)}, {holds}peaks at {size(peak)}{_of_gpu(point)}")
    return [Conclusion("size", text, (point.cell_id,))]


def _of_gpu(point: Point) -> str:
    gpu = catalogued(gpu_name(point))
    reserved = point.value(_RESERVED)
    if gpu is None or gpu.memory_bytes is None or reserved is None:
        return ""
    share = percent(reserved / gpu.memory_bytes, 0)
    return f"; PyTorch reserves {size(reserved)} of the {gpu.name}'s {size(gpu.memory_bytes)}, {share}"
