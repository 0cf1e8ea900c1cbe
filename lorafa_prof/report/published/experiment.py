"""The claims of a scenario judged on the results of a folder, in rows of equal settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lorafa_prof.claims.checks import Check
from lorafa_prof.claims.finding import Item, State, worst
from lorafa_prof.claims.gate import Gate
from lorafa_prof.claims.judge import judge_claims
from lorafa_prof.claims.trust import Doubts
from lorafa_prof.report.published.folder import By, KeptRow, PublishedFolder, Settings, key_of
from lorafa_prof.report.published.settings import WORD_BEFORE, settings_of_row
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns
from lorafa_prof.scenario.claim import Claim


@dataclass(frozen=True)
class Judged:
    """A number of a claim as measured and as predicted; None where the cell was not run there."""

    check: Check
    measured: Item | None
    predicted: Item | None

    def by(self, by: By) -> Item | None:
        """What came of it, measured or predicted."""
        return self.measured if by == "measured" else self.predicted

    @property
    def state(self) -> State:
        """The measurement's, unless it cannot be judged; else the prediction's."""
        items = [item for item in (self.measured, self.predicted) if item is not None]
        return next((item.state for item in items if item.state != "unknown"), "unknown")


@dataclass
class Row:
    """All that is claimed of one combination of settings, by the claim's index."""

    settings: dict[str, str]
    claims: dict[int, list[Judged]] = field(default_factory=dict)

    def state(self, index: int) -> State:
        """The worst that came of this claim here."""
        return worst(judged.state for judged in self.claims[index])

    @property
    def states(self) -> list[State]:
        """Of every claim that says something here."""
        return [self.state(index) for index in self.claims]

    def merit(self, index: int) -> tuple[bool, int, bool]:
        """How this claim fares here: whether it holds, how many hold with it, whether it was measured."""
        was_measured = any(judged.measured is not None for judged in self.claims[index])
        return self.state(index) == "pass", self.states.count("pass"), was_measured


@dataclass(frozen=True)
class Experiment:
    """The claims of a scenario and the rows they were judged in."""

    claims: tuple[Claim, ...]
    rows: tuple[Row, ...]

    @property
    def varying(self) -> list[str]:
        """The settings in which rows differ, by the keys of `WORD_BEFORE`."""
        return [key for key in WORD_BEFORE if len({row.settings[key] for row in self.rows}) > 1]


def experiment(name: str, folder: PublishedFolder) -> Experiment:
    """Judge the claims of the scenario `name` on all results of the folder."""
    gate = folder.gate(name)
    measured, predicted = folder.by_settings("measured", name), folder.by_settings("predicted", name)
    rows: dict[tuple[str, ...], Row] = {}
    for check in gate.checks:
        settings = settings_of_row(check.cell)
        row = rows.setdefault(tuple(settings.values()), Row(settings))
        judged = Judged(check, _judged(gate, check, measured), _judged(gate, check, predicted))
        row.claims.setdefault(check.index, []).append(judged)
    return Experiment(tuple(gate.loaded.scenario.claims), tuple(rows.values()))


def _judged(gate: Gate, check: Check, rows: Mapping[Settings, KeptRow]) -> Item | None:
    """What `lorafa-prof check` says of this number; None where the check's own cell was not run."""
    results = {}
    for cell in check.cells:
        kept = rows.get(key_of(setting_columns(cell)))
        if kept is not None:
            results[cell.cell_id] = CellResult(cell=cell, row=dict(kept.row))
    if check.cell.cell_id not in results:
        return None
    labels = {cell.cell_id: cell.label for cell in check.cells}
    # The table alone, whose rows may be of another machine than the claims' cells: nothing but numbers.
    undoubted = Doubts(pairs=False)
    return judge_claims(gate.loaded, [check], results, labels, None, lambda _: None, undoubted)[0].items[0]
