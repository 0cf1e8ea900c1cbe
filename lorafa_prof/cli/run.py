"""`lorafa-prof run`: measure the cells of a scenario."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorafa_prof.cli.tables import print_table
from lorafa_prof.errors import UsageError

if TYPE_CHECKING:
    from lorafa_prof.results.record import CellResult
    from lorafa_prof.running.store import Store
    from lorafa_prof.running.sweep import Rerun
    from lorafa_prof.scenario.cell import Cell


@click.command("run")
@click.argument("scenario")
@click.option(
    "-o", "--output", "out", type=click.Path(path_type=Path), help="[default: out/<scenario's name>]"
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the file.")
@click.option("--device", help="Override the scenario's device: auto, cuda, cpu.")
@click.option("-k", "pattern", metavar="REGEX", help="Only cells whose id or label matches.")
@click.option("--dry-run", is_flag=True, help="Check everything, list the cells, measure nothing.")
@click.option(
    "--rerun",
    type=click.Choice(["missing", "failed", "all"]),
    default="missing",
    show_default=True,
    help="Which cells to measure: those without a result, also failed ones, or all.",
)
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), help="Seconds a cell may take."
)
@click.option("--figures/--no-figures", default=True, show_default=True, help="Draw figures at the end.")
def run_command(
    scenario: str,
    out: Path | None,
    overrides: tuple[str, ...],
    device: str | None,
    pattern: str | None,
    dry_run: bool,
    rerun: Rerun,
    timeout_s: float | None,
    figures: bool,
) -> int:
    """Measure every cell of SCENARIO, a file or the name of a shipped one.

    A run continues where it stopped. The results are in OUT: results.csv, cells/, provenance.json, figures/.
    """
    from rich.console import Console

    from lorafa_prof.devices.device import resolve_device
    from lorafa_prof.running.plan import check_cells
    from lorafa_prof.running.progress import SweepProgress
    from lorafa_prof.running.provenance import write_provenance
    from lorafa_prof.running.store import Store
    from lorafa_prof.running.sweep import cells_to_run, run_sweep
    from lorafa_prof.scenario.expand import expand
    from lorafa_prof.scenario.load import load_scenario
    from lorafa_prof.scenario.shipped import find_scenario

    settings = [*overrides, *([f"device={device}"] if device else [])]
    loaded = load_scenario(find_scenario(scenario), settings)
    planned = expand(loaded, resolve_device)
    check_cells(loaded, planned)
    cells = [plan.cell for plan in planned]
    chosen = _matching(cells, pattern)
    if dry_run:
        print_table("cells", ("cell", "label"), [(cell.cell_id, cell.label) for cell in chosen])
        return 0
    store = Store(out or Path("out") / loaded.scenario.name)
    store.prepare()
    todo = cells_to_run(chosen, store, rerun)
    console = Console(stderr=True)
    if len(todo) < len(chosen):
        click.echo(f"{len(chosen) - len(todo)} of {len(chosen)} cells are measured already", err=True)
    cell_ids = [cell.cell_id for cell in cells]
    with SweepProgress(len(todo), console) as progress:
        run_sweep(todo, store, progress, table_of=cell_ids, timeout_s=timeout_s)
    store.write_table(cell_ids)
    results = [result for cell in chosen if (result := store.load(cell.cell_id))]
    write_provenance(store, loaded.scenario, results, sys.argv)
    _print_results(results)
    if figures:
        _draw(store)
    click.echo(f"results: {store.results_csv}", err=True)
    return _exit_code(results)


def _matching(cells: Sequence[Cell], pattern: str | None) -> list[Cell]:
    try:
        wanted = re.compile(pattern or "")
    except re.error as error:
        raise UsageError(f"-k {pattern}: this is no regular expression: {error}") from error
    chosen = [cell for cell in cells if wanted.search(cell.cell_id) or wanted.search(cell.label)]
    if not chosen:
        raise UsageError(f"-k {pattern}: no cell matches; --dry-run lists them")
    return chosen


def _print_results(results: Sequence[CellResult]) -> None:
    from lorafa_prof.running.progress import in_gib

    def text(result: CellResult, column: str, form: str = "") -> str:
        value = result.row.get(column)
        return "-" if value is None else format(value, form)

    header = (
        "model",
        "method",
        "rank",
        "batch",
        "seq",
        "status",
        "held",
        "peak",
        "reserved",
        "step ms",
        "tokens/s",
    )
    rows = [
        (
            *(text(result, name) for name in ("model", "method", "rank", "batch", "seq", "status")),
            *(
                in_gib(result.row.get(name))
                for name in ("activation_bytes", "peak_allocated_bytes", "peak_reserved_bytes")
            ),
            text(result, "step_ms_median", ".1f"),
            text(result, "tokens_per_s", ",.0f"),
        )
        for result in results
    ]
    print_table("results", header, rows)


def _draw(store: Store) -> None:
    from lorafa_prof.figures.save import Saved, save_all
    from lorafa_prof.results.table import read_table

    outcomes = save_all(read_table(store.out), store.out / "figures", None, ["png", "pdf"])
    drawn = [outcome.name for outcome in outcomes if isinstance(outcome, Saved)]
    click.echo(f"figures: {', '.join(drawn) or 'none'} in {store.out / 'figures'}", err=True)


def _exit_code(results: Sequence[CellResult]) -> int:
    from lorafa_prof.running.sweep import FAILED

    failed = [result for result in results if result.row["status"] in FAILED]
    for result in failed:
        click.echo(f"{result.cell.label}: {result.row['status']}: {result.row.get('message', '')}", err=True)
    if failed:
        click.echo(f"{len(failed)} cells failed; --rerun failed tries them again", err=True)
    return 1 if failed else 0
