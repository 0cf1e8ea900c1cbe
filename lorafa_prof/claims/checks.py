"""From claims and the cells of their scenario to single checks: which numbers of which cells, and how."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lorafa_prof.cell import Cell
from lorafa_prof.claims.expected import BoundError, Expected, expected_of
from lorafa_prof.claims.metric import claim_metric
from lorafa_prof.claims.pairs import PairingError, candidates_at_equal, grown_pairs, reference_pairs
from lorafa_prof.claims.values import unmatched_values
from lorafa_prof.errors import UsageError
from lorafa_prof.registry import nearest
from lorafa_prof.results.columns import Column
from lorafa_prof.scenario.claim import Claim
from lorafa_prof.scenario.load import LoadedScenario
from lorafa_prof.scenario.select import selectable_keys, selects

CheckKind = Literal["value", "ratio", "difference", "growth"]


@dataclass(frozen=True)
class Check:
    """One number that a claim expects something of.

    Attributes:
        kind: the metric of `cell` alone, or set against `other`: over it, less it, or (`cell` less `other`)
            per unit of the setting `axis`, of which `other` has the smaller value.
        alone: of growth, the cells that the claim selects and that have no neighbour to grow from or to.
        candidates: of a claim at equal memory, the cells of which one is `other`, as their runs will tell.
    """

    claim: Claim
    index: int
    metric: Column
    kind: CheckKind
    expected: Expected
    cell: Cell
    other: Cell | None = None
    axis: str | None = None
    alone: tuple[Cell, ...] = ()
    candidates: tuple[Cell, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells it needs."""
        return (self.cell, *([] if self.other is None else [self.other]), *self.candidates)

    @property
    def across(self) -> tuple[str, ...]:
        """The settings in which the baseline's cell may differ from its own."""
        return tuple(self.claim.across or ())

    @property
    def is_learned(self) -> bool:
        """Whether it is judged by learning runs, and not by a step."""
        return self.metric.group == "learning"


def checks_of(loaded: LoadedScenario, cells: Sequence[Cell]) -> list[Check]:
    """Every check of every claim, in the order of the file.

    Raises:
        ScenarioError: a claim with an unknown metric, setting or unit, one that no cell matches, whose cells
            have none or several to be compared with, or that contradicts another one.
    """
    checks = []
    for index, claim in enumerate(loaded.scenario.claims):
        _check_keys(loaded, index, claim)
        _check_values(loaded, index, claim, cells)
        for metric_index, name in enumerate(claim.metric):
            try:
                metric = claim_metric(name)
            except UsageError as error:
                raise loaded.error(str(error), ("claims", index, "metric", metric_index)) from error
            _check_learning(loaded, index, claim, metric)
            checks += _checks_of(loaded, index, claim, metric, cells)
    _check_contradictions(loaded, checks)
    return checks


def _check_keys(loaded: LoadedScenario, index: int, claim: Claim) -> None:
    known = sorted(selectable_keys())
    for selector in ("of", "relative_to", "difference_to"):
        for key in getattr(claim, selector) or {}:
            if key not in known:
                raise loaded.error(f"unknown key{nearest(key, known)}", ("claims", index, selector, key))
    for names in ("for_each", "across"):
        for key in getattr(claim, names) or []:
            if key not in known:
                raise loaded.error(f"no setting '{key}'{nearest(key, known)}", ("claims", index, names))
    axis = claim.growth_over
    if axis is not None and axis not in known:
        raise loaded.error(f"no setting '{axis}'{nearest(axis, known)}", ("claims", index, "growth_over"))


def _check_values(loaded: LoadedScenario, index: int, claim: Claim, cells: Sequence[Cell]) -> None:
    for selector in ("of", "relative_to", "difference_to"):
        rule = getattr(claim, selector) or {}
        for unmatched in unmatched_values(rule, cells, loaded.document):
            place = () if unmatched.index is None else (unmatched.index,)
            raise loaded.error(unmatched.message, ("claims", index, selector, unmatched.key, *place))


def _check_learning(loaded: LoadedScenario, index: int, claim: Claim, metric: Column) -> None:
    """See that a claim asks of a learning run, and of a step, only what that has."""
    if metric.group != "learning":
        for key in claim.of_learning:
            raise loaded.error(f"{metric.name} is of a step, not of learning runs", ("claims", index, key))
        return
    if claim.growth_over is not None:
        raise loaded.error(f"{metric.name} has no growth to be judged", ("claims", index, "growth_over"))
    if claim.compares_with_baseline:
        raise loaded.error(f"the baseline has no {metric.name}: it is of steps", ("claims", index))


def _checks_of(
    loaded: LoadedScenario, index: int, claim: Claim, metric: Column, cells: Sequence[Cell]
) -> list[Check]:
    chosen = [cell for cell in cells if selects(claim.of, cell)]
    if not chosen:
        raise loaded.error("no cell of the scenario matches this", ("claims", index, "of"))
    try:
        if claim.growth_over is not None:
            expected = expected_of(claim, metric.unit)
            pairs = grown_pairs(chosen, claim.growth_over)
            paired = {cell.cell_id for pair in pairs for cell in pair}
            alone = tuple(cell for cell in chosen if cell.cell_id not in paired)
            return [
                Check(claim, index, metric, "growth", expected, cell, smaller, claim.growth_over, alone)
                for smaller, cell in pairs
            ]
        if claim.at_equal is not None:
            rule = claim.relative_to if claim.relative_to is not None else claim.difference_to or {}
            kind: CheckKind = "difference" if claim.relative_to is None else "ratio"
            expected = expected_of(claim, "" if kind == "ratio" else metric.unit)
            return [
                Check(claim, index, metric, kind, expected, cell, candidates=candidates)
                for cell, candidates in candidates_at_equal(chosen, cells, rule)
            ]
        if claim.relative_to is not None:
            expected = expected_of(claim, "")
            pairs = reference_pairs(chosen, cells, claim.relative_to, claim.for_each)
            return [Check(claim, index, metric, "ratio", expected, cell, other) for cell, other in pairs]
        expected = expected_of(claim, metric.unit)
        if claim.difference_to is not None:
            pairs = reference_pairs(chosen, cells, claim.difference_to, claim.for_each)
            return [Check(claim, index, metric, "difference", expected, cell, other) for cell, other in pairs]
        return [Check(claim, index, metric, "value", expected, cell) for cell in chosen]
    except BoundError as error:
        raise loaded.error(str(error), ("claims", index, error.key)) from error
    except PairingError as error:
        raise loaded.error(str(error), ("claims", index, _pairing_key(claim))) from error


def _pairing_key(claim: Claim) -> str:
    keys = ("relative_to", "difference_to", "growth_over")
    return next(key for key in keys if getattr(claim, key) is not None)


def _check_contradictions(loaded: LoadedScenario, checks: Sequence[Check]) -> None:
    same: dict[tuple[object, ...], list[Check]] = defaultdict(list)
    for check in checks:
        number = (check.metric.name, check.kind, check.axis, *(cell.cell_id for cell in check.cells))
        for before in same[number]:
            (low, high), (other_low, other_high) = check.expected.limits, before.expected.limits
            if max(low, other_low) > min(high, other_high):
                where = loaded.document.lines.get(("claims", before.index))
                line = f" (line {where})" if where else ""
                raise loaded.error(
                    f"contradicts the claim '{before.claim.name}'{line}: of {check.cell.label}, "
                    f"{check.metric.name} cannot be both {before.expected} and {check.expected}",
                    ("claims", check.index),
                )
        same[number].append(check)
