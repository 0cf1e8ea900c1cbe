"""The history of a baseline: its file at each commit that changed it."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

from pydantic import ValidationError

from lorafa_prof.claims.baseline import Baseline, read_baseline
from lorafa_prof.claims.metric import CLAIM_METRICS
from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.history.history import History, Moment
from lorafa_prof.results.git import git_output
from lorafa_prof.words.phrases import count, first_of

#: What no name and no subject of a commit has in it.
_START, _BETWEEN = "\x01", "\x02"
_SHORT = 9
_MOST_NAMED = 3
#: The file as it is, where it is not as it was committed.
UNCOMMITTED = "not committed"


def history_of_baseline(file: Path, last: int | None = None, metrics: Collection[str] = ()) -> History:
    """Return the history of a baseline's file, over renames, with what is not committed yet.

    Args:
        file: the baseline.
        last: so many of the newest commits alone; None: all.
        metrics: these alone; empty: all that it has.

    Raises:
        UsageError: the file, or git's log of it, cannot be read.
        NothingToJudgeError: no commit has it in a form that can be read.
    """
    found: list[tuple[Moment, Baseline]] = []
    unreadable = []
    for commit, written, subject, text in _versions(file, last):
        try:
            baseline = Baseline.model_validate_json(text)
        except ValidationError:
            unreadable.append(commit)
            continue
        found.append((_moment(commit, written, subject, baseline, metrics), baseline))
    now = read_baseline(file)
    if now is not None and (not found or found[-1][1] != now):
        found.append((_moment(UNCOMMITTED, "", "", now, metrics), now))
    if not found:
        raise NothingToJudgeError(
            f"{file}: there is no such baseline, nor one that can be read in any commit"
        )
    notes = []
    if unreadable:
        commits = count(len(unreadable), "commit")
        notes.append(f"{commits} left out, whose file cannot be read: {first_of(unreadable, _MOST_NAMED)}")
    known = {metric for _, each in found for cell in each.cells.values() for metric in cell.metrics}
    if unknown := sorted(known - CLAIM_METRICS.keys()):
        notes.append(f"left out, since they are no metrics here: {first_of(unknown, _MOST_NAMED)}")
    labels = {cell_id: cell.label for _, each in found for cell_id, cell in each.cells.items()}
    return History(file.name, tuple(moment for moment, _ in found), _distinct(labels), notes=tuple(notes))


def _versions(file: Path, last: int | None) -> Iterator[tuple[str, str, str, str]]:
    """Yield commit, date, subject and text of each version, the oldest first."""
    folder = file.absolute().parent
    limit = [f"--max-count={last}"] if last is not None else []
    form = f"--format={_START}%h{_BETWEEN}%cI{_BETWEEN}%s{_BETWEEN}"
    try:
        told = git_output(
            folder,
            *("-c", "core.quotePath=off", "log", "--follow", "--diff-filter=AMRT", "--name-only"),
            *(f"--abbrev={_SHORT}", form, *limit, "--", file.name),
        )
        for entry in reversed(told.split(_START)[1:]):
            commit, written, subject, path = entry.split(_BETWEEN)
            # With --name-only a path starts at the repository's top, as it does behind a commit.
            yield commit, written, subject, git_output(folder, "show", f"{commit}:{path.strip()}")
    except subprocess.CalledProcessError as error:
        message = " ".join(error.stderr.split())
        raise UsageError(f"{file}: git has no history of it: {message}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{file}: its history cannot be read: git: {type(error).__name__}") from error


def _moment(commit: str, written: str, subject: str, baseline: Baseline, metrics: Collection[str]) -> Moment:
    values = {
        (cell_id, metric): value
        for cell_id, cell in baseline.cells.items()
        for metric, value in cell.metrics.items()
        if metric in (metrics or CLAIM_METRICS)
    }
    return Moment(commit, written, subject, values, packages=baseline.packages)


def _distinct(labels: dict[str, str]) -> dict[str, str]:
    """Return labels of which no two are the same: with the end of its id where several cells have one."""
    several = [label for label in labels.values() if list(labels.values()).count(label) > 1]
    return {
        cell_id: f"{label} ({cell_id.rpartition('_')[2]})" if label in several else label
        for cell_id, label in labels.items()
    }
