"""The rows of the table as figures see them: a model, a method, settings, numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from lorafa_prof.cell import twin_device
from lorafa_prof.figures.kit.style import method_order
from lorafa_prof.figures.kit.wishes import said
from lorafa_prof.results.columns import METRICS
from lorafa_prof.results.marks import against, read

Setting = str | int | float | None

METHOD_SETTINGS = (
    "rank",
    "targets",
    "dropout",
    "adapter_dtype",
    "optimizer",
    "update",
    "quantization",
    "double_quant",
    "kbit_prepare",
)
"""What belongs to the method: named on each bar or line."""

CONTEXT_SETTINGS = (
    "batch",
    "seq",
    "lengths",
    "padding",
    "packing",
    "accumulation",
    "max_grad_norm",
    "dtype",
    "autocast",
    "attention",
    "kernels",
    "loss",
    "launch",
    "checkpointing",
    "phase",
    "kept_logits",
    "parallel",
    "gpus",
    "shard",
    "where",
)
"""What a comparison of methods holds fixed. ``where`` is device and GPU in one."""

SETTINGS = METHOD_SETTINGS + CONTEXT_SETTINGS

_USUAL: Mapping[str, Setting] = {
    "padding": 0.0,
    "accumulation": 1,
    "max_grad_norm": "none",
    "update": "step",
    "quantization": "none",
    "double_quant": "none",
    "kbit_prepare": "none",
    "autocast": "none",
    "phase": "train",
    "kept_logits": 0,
    "lengths": "none",
    "packing": "none",
    "loss": "full",
    "launch": "eager",
    "parallel": "none",
    "gpus": 1,
    "shard": "default",
}
"""What cells have whose row says nothing, such as those of an older table; shared by all it goes unsaid."""

_DEFAULT_TARGETS = "default targets"

_PHRASES = {
    "rank": "r{}",
    "targets": "on {}",
    "dropout": "dropout {}",
    "batch": "batch {}",
    "seq": "seq {}",
    "padding": "padding {}",
    "packing": "packed",
    "accumulation": "accumulation {}",
    "max_grad_norm": "clipping {}",
    "dtype": "{} weights",
    "quantization": "{} base",
    "double_quant": "double quantization",
    "kbit_prepare": "prepared for k-bit training",
    "autocast": "autocast {}",
    "adapter_dtype": "{} adapters",
    "attention": "{} attention",
    "kernels": "{} kernels",
    "loss": "{} loss",
    "launch": "launched as a {}",
    "checkpointing": "checkpointing {}",
    "update": "update in {}",
    "lengths": "lengths {}",
    "phase": "{}",
    "kept_logits": "{} batches of logits kept",
    "parallel": "parallel {}",
    "gpus": "{} GPUs",
    "shard": "sharding {}",
}


@dataclass(frozen=True)
class Point:
    """One cell.

    Attributes:
        settings: has every name of `SETTINGS`.
        values: has every metric that is known.
        doubts: the marks of its row that speak against a metric, of those that have any.
    """

    cell_id: str
    model: str
    method: str
    status: str
    failed_phase: str
    settings: Mapping[str, Setting]
    values: Mapping[str, float]
    doubts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the cell ran to its end; only then do its numbers describe a steady step."""
        return self.status == "ok"

    def value(self, column: str) -> float | None:
        """The metric, in the unit of its column; None if it is unknown or the cell did not finish."""
        return self.values.get(column) if self.ok else None

    def against(self, *columns: str) -> tuple[str, ...]:
        """The marks that speak against one of these metrics; none of a metric that is not known."""
        known = [self.doubts.get(column, ()) for column in columns if self.value(column) is not None]
        return tuple(dict.fromkeys(name for names in known for name in names))

    def failure(self) -> str:
        """What to print where a value would stand."""
        if self.ok:
            return "not measured"
        name = "OOM" if self.status == "oom" else self.status
        return f"{name} in {self.failed_phase}" if self.failed_phase else name


def points_of(table: pd.DataFrame) -> list[Point]:
    """The table's cells in the order figures list them: by model, context, method, then its settings."""
    return in_order([point_of(record) for record in table.to_dict(orient="records")])


def in_order(points: Sequence[Point]) -> list[Point]:
    """The cells in that order."""
    models = list(dict.fromkeys(point.model for point in points))
    return sorted(points, key=lambda point: (models.index(point.model), *_order(point)))


def _order(point: Point) -> tuple[Any, ...]:
    context = tuple(sort_key(point.settings[name]) for name in CONTEXT_SETTINGS)
    own = tuple(sort_key(point.settings[name]) for name in METHOD_SETTINGS)
    return (context, method_order(point.method), own, point.cell_id)


def sort_key(value: Setting) -> tuple[int, float, str]:
    """Orders settings: missing first, numbers by size, then text."""
    if value is None:
        return (0, 0.0, "")
    return (2, 0.0, value) if isinstance(value, str) else (1, float(value), "")


def point_of(record: Mapping[Any, Any]) -> Point:
    """The cell that a row of the table describes; what is missing in it is None or not a number."""
    known = {str(name): value for name, value in record.items() if not pd.isna(value)}
    marks = read(str(known.get("marks", "")))
    return Point(
        cell_id=str(known.get("cell_id", "")),
        model=str(known.get("model", "")),
        method=str(known.get("method", "")),
        status=str(known.get("status", "")),
        failed_phase=str(known.get("failed_phase", "")),
        settings={
            **{name: known.get(name, _USUAL.get(name)) for name in SETTINGS},
            "targets": _targets(known),
            "where": _where(known),
        },
        values={column.name: float(known[column.name]) for column in METRICS if column.name in known},
        doubts={column.name: names for column in METRICS if (names := against(column.name, marks))},
    )


def _targets(known: Mapping[str, Any]) -> str | None:
    """Where adapters are: PEFT decides by itself if nobody says, which is not the same as having none."""
    targets = known.get("targets", _DEFAULT_TARGETS if "adapter_dtype" in known else None)
    return None if targets is None else str(targets)


def _where(known: Mapping[str, Any]) -> str | None:
    """Device and GPU, without saying the same twice: ``sim:`` and ``cpu`` stay, so a twin is never hidden."""
    device, gpu = known.get("device"), known.get("gpu")
    if device is None or gpu is None:
        return device or gpu
    if device == "cuda":
        return str(gpu)
    return str(device) if str(device) == twin_device(str(gpu)) else f"{device} ({gpu})"


def phrase(name: str, value: Setting) -> str:
    """A setting in words, such as ``batch 8``; empty if it is missing."""
    if value is None:
        return ""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return said(_PHRASES.get(name, "{}").format(text))


def phrases(point: Point, names: Sequence[str]) -> str:
    """Several settings of a cell in words, the missing ones left out."""
    return ", ".join(filter(None, (phrase(name, point.settings[name]) for name in names)))


def named(point: Point, names: Sequence[str]) -> str:
    """The method, and these settings of the cell."""
    return " ".join(filter(None, (said(point.method), phrases(point, names))))


def distinct_names(points: Sequence[Point]) -> dict[str, str]:
    """What to call each cell, by id: method and what differs, and where several are alike the id too."""
    names = differing(points, SETTINGS)
    several = len({point.model for point in points}) > 1
    labels = {
        point.cell_id: f"{point.model} {named(point, names)}" if several else named(point, names)
        for point in points
    }
    shared = Counter(labels.values())
    return {
        cell_id: f"{label} ({cell_id})" if shared[label] > 1 else label for cell_id, label in labels.items()
    }


def differing(points: Sequence[Point], among: Sequence[str]) -> list[str]:
    """Those of the settings `among` that differ between cells."""
    names = varying(points)
    return [name for name in among if name in names]


def varying(points: Sequence[Point]) -> tuple[str, ...]:
    """Settings that differ between cells. One that a method lacks altogether does not differ for that."""
    return tuple(name for name in SETTINGS if _varies(points, name))


def _varies(points: Sequence[Point], name: str) -> bool:
    by_method: dict[str, set[Setting]] = {}
    for point in points:
        by_method.setdefault(point.method, set()).add(point.settings[name])
    overall = set().union(*by_method.values()) - {None}
    return len(overall) > 1 or any(len(values) > 1 for values in by_method.values())


def swept(points: Sequence[Point], axis: str) -> list[list[Point]]:
    """Cells that differ in nothing but the setting `axis`, where there are two values of it at least."""
    others = [name for name in SETTINGS if name != axis]
    alike: dict[tuple[object, ...], list[Point]] = {}
    for point in points:
        if point.settings[axis] is not None:
            key = (point.model, point.method, *(point.settings[name] for name in others))
            alike.setdefault(key, []).append(point)
    return [members for members in alike.values() if len({point.settings[axis] for point in members}) > 1]


def left_out(count: int, total: int, what: str = "cells") -> list[str]:
    """A note on the cells for which a figure has no room; none if it has room for all."""
    return [f"Not drawn, for want of room: {count:,} of {total:,} {what}."] if count else []


def fixed(points: Sequence[Point]) -> str:
    """The settings all cells share, in words."""
    differing = varying(points)
    parts = []
    for name in SETTINGS:
        values = {point.settings[name] for point in points} - {None, _USUAL.get(name)}
        if name not in differing and values:
            parts.append(phrase(name, values.pop()))
    return ", ".join(parts)
