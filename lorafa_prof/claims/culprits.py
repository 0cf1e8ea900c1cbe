"""Which tensors make a claim fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lorafa_prof.cell import Cell
from lorafa_prof.claims.baseline import Baseline
from lorafa_prof.claims.checks import Check
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.tensors import (
    STATIC_KINDS,
    TensorChange,
    Tensors,
    changes,
    largest,
    saved_tensors,
    static_tensors,
)

#: Gives a cell's full record, with its details, by id.
Load = Callable[[str], CellResult | None]

#: Metrics that saved tensors make up; weights and optimizer state are not in them.
_OF_FORWARD = ("activation_bytes", "saved_bytes")


@dataclass(frozen=True)
class Blamed:
    """Tensors in order of blame, and what they are, or why there are none."""

    title: str = ""
    tensors: tuple[TensorChange, ...] = ()


def blame(
    check: Check, excess: float, labels: Mapping[str, str], baseline: Baseline | None, load: Load
) -> Blamed:
    """What to look at first where `check` fails by `excess`.

    Against the baseline where it knows the cell and something differs; else what one cell holds more than the
    other. Where the one should hold less than the other and does not, the difference is what is missing, so
    all that it holds is shown.
    """
    explained = check.metric.group == "memory" and check.metric.name != "host_rss_bytes"
    now = _held(check.cell, check, load) if explained else None
    if now is None:
        return Blamed()
    label = labels[check.cell.cell_id]
    then = _held_then(check, baseline)
    if then is not None and (check.expected.from_baseline or _to_blame(changes(then, now), excess)):
        return _against(changes(then, now), excess, label, "in the baseline")
    if check.other is None or (excess > 0 and _should_be_less(check)):
        return Blamed(f"the largest tensors that {label} holds", tuple(largest(now)))
    other = _held(check.other, check, load)
    if other is None:
        return Blamed()
    return _against(changes(other, now), excess, label, labels[check.other.cell_id])


def _should_be_less(check: Check) -> bool:
    """Whether the cell is to have less than the other one, not just little more."""
    high = check.expected.high
    return high is not None and (
        (check.kind == "ratio" and high < 1) or (check.kind == "difference" and high < 0)
    )


def _against(found: list[TensorChange], excess: float, label: str, than: str) -> Blamed:
    more = "more" if excess > 0 else "less"
    if not _to_blame(found, excess):
        return Blamed(f"{label} holds nothing {more} than {than}: what differs is temporary")
    # What grew first where there is too much, what shrank first where there is too little.
    return Blamed(f"what {label} holds {more} than {than}", tuple(found if excess > 0 else reversed(found)))


def _to_blame(found: list[TensorChange], excess: float) -> bool:
    """Whether there is a change in the direction of the excess."""
    return any(change.delta_bytes * excess > 0 for change in found)


def _held(cell: Cell, check: Check, load: Load) -> Tensors | None:
    record = load(cell.cell_id)
    saved = None if record is None else saved_tensors(record.details)
    if record is None or saved is None:
        return None
    return _that_counts({**static_tensors(record.row), **saved}, check)


def _held_then(check: Check, baseline: Baseline | None) -> Tensors | None:
    known = baseline.cell(check.cell, check.across) if baseline is not None else None
    return None if known is None or not known.tensors else _that_counts(known.held(), check)


def _that_counts(held: Tensors, check: Check) -> Tensors:
    name = check.metric.name
    if name in _OF_FORWARD:
        return {key: each for key, each in held.items() if key.kind not in STATIC_KINDS}
    if (kind := name.removesuffix("_bytes")) in STATIC_KINDS:
        return {key: each for key, each in held.items() if key.kind == kind}
    return held
