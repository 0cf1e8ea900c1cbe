"""What `lorafa-prof learn` prints: the runs that there are, what they come to, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lorafa_prof.cli.conclusions import tell_conclusions
from lorafa_prof.cli.say import say
from lorafa_prof.cli.tables import print_table
from lorafa_prof.errors import LorafaProfError

if TYPE_CHECKING:
    from lorafa_prof.cli.json_output import JsonOutput
    from lorafa_prof.concluding.conclusion import Conclusion
    from lorafa_prof.learning.plan import PlannedRun
    from lorafa_prof.learning.run import LearningRun
    from lorafa_prof.learning.sweep import Records


def tell_plan(
    planned: Sequence[PlannedRun],
    labels: Mapping[str, str],
    steps: Mapping[str, int],
    records: Records,
    as_json: JsonOutput,
) -> None:
    """Print the runs that would be trained, and what there is of them."""

    def status(plan: PlannedRun) -> str | None:
        record = records.get(plan.run.run_id)
        if record is None:
            return "if best" if plan.only_at_best_rate else None
        return record.status if record.has_ended else "unfinished"

    names = ("run_id", "status", "steps", "label")
    rows = [
        (plan.run.run_id, status(plan), steps[plan.run.run_id], labels[plan.run.run_id]) for plan in planned
    ]
    texts = [tuple("-" if value is None else str(value) for value in row) for row in rows]
    print_table("runs", ("run", *names[1:]), texts)
    as_json.give({"runs": [dict(zip(names, row, strict=True)) for row in rows]})


def tell_results(
    runs: Sequence[LearningRun],
    labels: Mapping[str, str],
    records: Records,
    out: Path,
    as_json: JsonOutput,
) -> None:
    """Tell what the runs in `out` come to, and print the last evaluation of each of `runs`."""
    found = _concluded(out)
    tell_conclusions([each.text for each in found])
    there = [(labels[run.run_id], records[run.run_id]) for run in runs if run.run_id in records]
    rows = []
    for label, record in there:
        if record.rows:
            rows.append((label, record.status, *_last(record.rows[-1])))
    print_table("runs", ("run", "status", "last evaluation", "peak"), rows, names=1)
    for note in sorted({record.message for _, record in there if record.status == "ok" and record.message}):
        say(f"note: {note}")
    told = [
        {
            "run_id": record.run.run_id,
            "label": label,
            "status": record.status,
            "message": record.message or None,
            "evaluations": record.rows,
        }
        for label, record in there
    ]
    as_json.give({"out": str(out), "conclusions": [asdict(each) for each in found], "runs": told})


def _last(evaluation: Mapping[str, str | int | float | None]) -> tuple[str, str]:
    from lorafa_prof.learning.progress import evaluation_text
    from lorafa_prof.words.numbers import size_or_dash

    return evaluation_text(evaluation), size_or_dash(evaluation.get("peak_allocated_bytes"))


def _concluded(out: Path) -> list[Conclusion]:
    """What the runs in `out` come to, those of earlier commands too."""
    from lorafa_prof.concluding.learned import learned_conclusions
    from lorafa_prof.quality.group import groups_of
    from lorafa_prof.quality.read import read_learning

    try:
        return learned_conclusions(groups_of(read_learning(out)))
    except LorafaProfError as error:
        say(f"note: nothing is concluded: {error}")
        return []
