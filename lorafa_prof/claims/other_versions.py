"""What is told of numbers that were made with other versions of packages: one line on each kind of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lorafa_prof.claims.baseline import TELLING_PACKAGES, Baseline
from lorafa_prof.claims.checks import Check
from lorafa_prof.claims.metric import UnknownValueError, value_of
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.store import CellResults


def told_of_baseline(checks: Iterable[Check], results: CellResults, baseline: Baseline | None) -> list[str]:
    """A line where `baseline` is of other versions than the results: how many numbers are others."""
    compared = [
        (then, now)
        for check in checks
        if baseline is not None and check.expected.from_baseline
        if (then := baseline.value(check.cell, check.metric.name, check.across)) is not None
        if (now := _value(check, results)) is not None
    ]
    if baseline is None or not compared:
        return []
    packages = next(iter(results.values())).environment.get("packages", {})
    versions = ", ".join(baseline.differing_packages(packages))
    if not versions:
        return []
    others = sum(then != now for then, now in compared)
    if not others:
        return [f"the baseline was made with {versions}; all {len(compared)} numbers are the same"]
    which = f"{others} of {len(compared)} numbers"
    return [f"the baseline was made with {versions}: that may be why {which} are others"]


def told_of_measurements(
    used: Sequence[CellResult], here: Mapping[str, str | None], *, failed: bool
) -> list[str]:
    """A line where a claim fails on what was measured with other versions than those of here.

    A prediction of other versions is not judged, or said to be stale.
    """
    if not failed:
        return []
    versions = {
        f"{name} {then} (here {now})"
        for result in used
        if not result.cell.is_predicted
        for name in TELLING_PACKAGES
        if (then := _release(result.environment.get("packages", {}).get(name)))
        and (now := _release(here.get(name)))
        and then != now
    }
    if not versions:
        return []
    return [f"measured with {', '.join(sorted(versions))}: another version may have other numbers"]


def _value(check: Check, results: CellResults) -> float | None:
    try:
        return value_of(results.get(check.cell.cell_id), check.metric)
    except UnknownValueError:
        return None


def _release(version: str | None) -> str:
    """A version without its build: that of PyTorch's has no part in what the model's code does."""
    return (version or "").split("+")[0]
