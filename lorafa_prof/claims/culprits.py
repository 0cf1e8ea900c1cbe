"""Which tensors make a claim fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lorafa_prof.claims.baseline import Baseline
from lorafa_prof.claims.checks import Check
from lorafa_prof.claims.tensors import (
    STATIC_KINDS,
    TensorChange,
    Tensors,
    changes,
    largest,
    saved_tensors,
    static_tensors,
)
from lorafa_prof.results.record import CellResult
from lorafa_prof.scenario.cell import Cell

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
    now = _held(check.cell, check, load) if check.metric.group == "memory" else None
    if now is None:
        return Blamed()
    label = labels[check.cell.cell_id]
    more = "more" if excess > 0 else "less"
    then = _held_then(check, baseline)
    if differing := [] if then is None else changes(then, now):
        return Blamed(f"what {label} holds {more} than in the baseline", _in_order(differing, excess))
    if then is not None and check.expected.from_baseline:
        return Blamed("the same tensors are held as in the baseline: what differs is temporary")
    should_be_less = check.kind == "ratio" and check.expected.high is not None and check.expected.high < 1
    if check.other is None or should_be_less:
        return Blamed(f"the largest tensors that {label} holds", tuple(largest(now)))
    other = _held(check.other, check, load)
    if other is None:
        return Blamed()
    than = labels[check.other.cell_id]
    return Blamed(f"what {label} holds {more} than {than}", _in_order(changes(other, now), excess))


def _in_order(found: list[TensorChange], excess: float) -> tuple[TensorChange, ...]:
    """What grew first where there is too much, what shrank first where there is too little."""
    return tuple(found if excess > 0 else reversed(found))


def _held(cell: Cell, check: Check, load: Load) -> Tensors | None:
    record = load(cell.cell_id)
    saved = None if record is None else saved_tensors(record.details)
    if record is None or saved is None:
        return None
    return _that_counts({**static_tensors(record.row), **saved}, check)


def _held_then(check: Check, baseline: Baseline | None) -> Tensors | None:
    known = baseline.cells.get(check.cell.cell_id) if baseline is not None else None
    return None if known is None or not known.tensors else _that_counts(known.held(), check)


def _that_counts(held: Tensors, check: Check) -> Tensors:
    if check.metric.name not in _OF_FORWARD:
        return held
    return {key: each for key, each in held.items() if key.kind not in STATIC_KINDS}
