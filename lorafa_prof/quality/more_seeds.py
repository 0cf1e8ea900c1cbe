"""Which runs are trained with more seeds: those at the learning rate that the first seeds chose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lorafa_prof.learning.plan import PlannedRun
from lorafa_prof.learning.sweep import Records
from lorafa_prof.quality.group import groups_of
from lorafa_prof.quality.read import read_learning


def runs_at_best_rate(planned: Sequence[PlannedRun], records: Records, out: Path) -> list[PlannedRun]:
    """Return the planned runs of more seeds whose learning rate is the one chosen for their cell.

    The rate is that by which the cell is judged (`group.py`), and it is chosen once all runs of the cell
    with the first seeds have ended; until then the cell has none.

    Args:
        planned: all runs of the scenario.
        records: of those that have begun, by id.
        out: the folder whose learning.csv has their evaluations.

    Raises:
        UsageError: learning.csv is damaged.
    """
    more = [plan for plan in planned if plan.only_at_best_rate]
    if not more or not records:
        return []
    chosen = {
        group.cell_id: group.chosen.learning_rate for group in groups_of(read_learning(out)) if group.chosen
    }
    waiting = {
        plan.run.cell.cell_id
        for plan in planned
        if not plan.only_at_best_rate and not _has_ended(records, plan.run.run_id)
    }
    return [
        plan
        for plan in more
        if plan.run.cell.cell_id not in waiting
        and plan.run.learning_rate == chosen.get(plan.run.cell.cell_id)
    ]


def _has_ended(records: Records, run_id: str) -> bool:
    return run_id in records and records[run_id].has_ended
