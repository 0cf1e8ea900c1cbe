"""What marks of a row do to a claim on it: a value that one disturbs is not judged, a weak one is told of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lorafa_prof.claims.expected import Expected
from lorafa_prof.results.columns import Column
from lorafa_prof.results.marks import DISTURBED, against, disturbance, marks_in
from lorafa_prof.results.record import CellResult
from lorafa_prof.words.amounts import Number

#: What becomes of values that a mark disturbs: they are not judged, or judged and said to be marked.
Marked = Literal["refuse", "keep"]

#: Metrics that follow from the time of a whole step, whose percentiles the row has.
_OF_WHOLE_STEPS = ("step_ms_median", "tokens_per_s", "tokens_per_s_per_gpu", "samples_per_s", "mfu")


def refusal(result: CellResult, metric: Column) -> str:
    """Why the value is not judged; empty where it is."""
    why = disturbance(metric.name, marks_in(result.details))
    return f"{why}; measure it again, or --marked keep judges it as it is" if why else ""


def remarks(results: Sequence[CellResult], metric: Column, expected: Expected, number: Number) -> list[str]:
    """What must be said beside a verdict on `number`, which follows from these results' values.

    Few samples always; unsteady ones unless the verdict is the same from the 5th to the 95th percentile.
    """
    disturbed = [why for result in results if (why := disturbance(metric.name, marks_in(result.details)))]
    kept = [f"MARKED, judged because of --marked keep: {why}" for why in dict.fromkeys(disturbed)]
    weak = {
        name: why
        for result in results
        for name, why in marks_in(result.details).items()
        if name in against(metric.name, (name,)) and name not in DISTURBED
    }
    if set(weak) == {"unsteady"} and _holds_all_the_same(results, metric, expected, number):
        weak = {}
    return [*kept, *weak.values()]


def _holds_all_the_same(
    results: Sequence[CellResult], metric: Column, expected: Expected, number: Number
) -> bool:
    """Whether the verdict on a value alone does not depend on which of its samples are taken."""
    if len(results) != 1 or metric.name not in _OF_WHOLE_STEPS:
        return False
    row = results[0].row
    times = [row.get(f"step_ms_{name}") for name in ("p05", "median", "p95")]
    low, middle, high = (ms if isinstance(ms, (int, float)) else 0.0 for ms in times)
    if not 0 < low <= middle <= high:
        return False
    shares = (low / middle, high / middle)
    ends = [number * share if metric.better == "lower" else number / share for share in shares]
    verdicts = {_sign(expected.excess(value)) for value in (number, *ends)}
    return len(verdicts) == 1


def _sign(excess: Number) -> int:
    return (excess > 0) - (excess < 0)
