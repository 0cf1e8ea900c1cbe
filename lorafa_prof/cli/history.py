"""`lorafa-prof history`: how metrics moved over stored runs, or over the commits of a baseline."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorafa_prof.cli.json_output import JsonOutput, json_option
from lorafa_prof.cli.options import PATH, cells_option, output_option
from lorafa_prof.cli.say import put_whole, say
from lorafa_prof.errors import UsageError

if TYPE_CHECKING:
    from lorafa_prof.history.history import History


@click.command("history")
@click.argument("what", nargs=-1, required=True, type=PATH, metavar="(BASELINE | SCENARIO | OUT...)")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Only this metric; may be repeated.")
@click.option("--last", type=click.IntRange(min=1), help="So many of a baseline's newest commits alone.")
@cells_option
@output_option("Write history.csv, history.html and the figure, .png and .pdf, into this folder.")
@json_option
def history_command(
    what: tuple[Path, ...],
    metrics: tuple[str, ...],
    last: int | None,
    pattern: str | None,
    out: Path | None,
    as_json: JsonOutput,
) -> None:
    """Tell how metrics moved over commits, or over stored runs.

    Of a BASELINE that `lorafa-prof check --update-baseline` wrote, or that of a SCENARIO, by git's log of its
    file; or of the folders OUT that runs wrote, by when that was. Only changes beyond the tolerance of
    `lorafa-prof compare` count.
    """
    history = _picked(_history(what, metrics, last), pattern)
    from lorafa_prof.history.records import history_json
    from lorafa_prof.history.text import history_text

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    put_whole(history_text(history, width))
    as_json.give(history_json(history))
    if out is not None:
        _write(history, out)


def _history(what: Sequence[Path], metrics: Sequence[str], last: int | None) -> History:
    from lorafa_prof.claims.baseline import baseline_beside
    from lorafa_prof.claims.metric import claim_metric

    columns = [claim_metric(name) for name in dict.fromkeys(metrics)]
    if all(path.is_dir() for path in what):
        from lorafa_prof.history.of_runs import history_of_runs

        if last is not None:
            raise UsageError("--last is of a baseline's commits: name only those runs that are to count")
        return history_of_runs(what, columns)
    if len(what) > 1:
        raise UsageError("name one baseline, or folders of runs: a history is of one of the two")
    from lorafa_prof.history.of_baseline import history_of_baseline

    (file,) = what
    baseline = file if file.suffix == ".json" else baseline_beside(file)
    return history_of_baseline(baseline, last, [column.name for column in columns])


def _picked(history: History, pattern: str | None) -> History:
    """The history of those cells that ``-k`` matches.

    Raises:
        UsageError: the pattern is no regular expression or matches none, or no metric is left.
    """
    from lorafa_prof.cli.scenario_cells import matching
    from lorafa_prof.history.history import of_cells

    cells = matching(history.labels, pattern, f"no cell of {history.of} matches")
    picked = of_cells(history, set(cells))
    if not picked.series:
        raise UsageError(f"{history.of}: has no value of these metrics")
    return picked


def _write(history: History, folder: Path) -> None:
    from lorafa_prof.figures.history import draw_history
    from lorafa_prof.figures.kit.style import style
    from lorafa_prof.figures.save import write_drawing
    from lorafa_prof.history.records import history_rows
    from lorafa_prof.report.history_page import history_page
    from lorafa_prof.results.files import write_atomically
    from lorafa_prof.results.spreadsheet import csv_text

    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "history.csv", csv_text(history_rows(history)))
        write_atomically(folder / "history.html", history_page(history))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror}") from error
    with style():
        drawing = draw_history(history)
        drawn = write_drawing(drawing, folder, "history", ("png", "pdf")) if drawing is not None else ()
    names = ["history.csv", "history.html", *(path.name for path in drawn)]
    say(f"{', '.join(names)} in {folder}{'' if drawn else '; nothing moved, so there is no figure'}")
