"""`lorafa-prof run`: measure the cells of a scenario."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorafa_prof.cli.allocated import follows
from lorafa_prof.cli.axes import CommandWithAxes
from lorafa_prof.cli.drawing import tell_drawn
from lorafa_prof.cli.options import (
    cells_option,
    device_option,
    gpu_use_options,
    output_option,
    set_option,
    stale_option,
    timeout_option,
)
from lorafa_prof.cli.place import executor_for, on_option
from lorafa_prof.cli.results_table import print_results
from lorafa_prof.cli.say import say
from lorafa_prof.cli.scenario_cells import loaded_scenario, scenario_cells
from lorafa_prof.cli.sweeping import sweep
from lorafa_prof.cli.tables import print_table
from lorafa_prof.words.phrases import count, first_of

if TYPE_CHECKING:
    from lorafa_prof.cell import Cell
    from lorafa_prof.claims.trust import Stale
    from lorafa_prof.results.record import CellResult
    from lorafa_prof.results.store import CellResults, Store
    from lorafa_prof.running.sweep import Rerun


@click.command("run", cls=CommandWithAxes)
@click.pass_obj
@click.argument("scenario", required=False)
@output_option("Folder of the results  [default: out/<scenario's name>]")
@set_option
@device_option("auto, cuda, cpu or sim:<gpu>")
@cells_option
@click.option("--dry-run", is_flag=True, help="Check everything, list the cells, measure nothing.")
@click.option(
    "--rerun",
    type=click.Choice(["missing", "failed", "all"]),
    default="missing",
    show_default=True,
    help="Which cells to measure: those without a result, also failed ones, or all.",
)
@timeout_option
@stale_option
@gpu_use_options
@on_option
@click.option(
    "--max-failures",
    type=click.IntRange(min=1),
    metavar="N",
    help="Start no other cell once N have failed (status error, timeout or skipped).",
)
@click.option("--figures/--no-figures", default=True, show_default=True, help="Draw figures at the end.")
def run_command(
    arguments: Sequence[str] | None,
    scenario: str | None,
    out: Path | None,
    overrides: tuple[str, ...],
    device: str | None,
    pattern: str | None,
    dry_run: bool,
    rerun: Rerun,
    timeout_s: float | None,
    wait_s: float | None,
    share_gpu: bool,
    on: str | None,
    max_failures: int | None,
    stale: Stale,
    figures: bool,
) -> int:
    """Measure every cell of SCENARIO, a file or the name of a shipped one; or of a --model and other axes.

    A run continues where it stopped. The results are in OUT: results.csv, cells/, provenance.json, figures/.
    Started by torchrun or srun, rank 0 runs, and the other ranks take part in its cells of several GPUs.
    """
    if on is None and follows():
        return 0
    loaded = loaded_scenario(scenario, overrides, device)
    executor = click.get_current_context().with_resource(executor_for(loaded.scenario, on, wait_s))
    found = scenario_cells(loaded, executor.resolve_device, pattern)
    labels, chosen, cell_ids = found.labels, found.chosen, found.cell_ids
    from rich.console import Console

    from lorafa_prof.devices.gpus.types import note_of_types
    from lorafa_prof.running.plan import check_cells

    console = Console(stderr=True)
    with console.status(f"checking {count(len(cell_ids), 'cell')}"):
        check_cells(loaded, found.planned)
    for note in dict.fromkeys(filter(None, map(note_of_types, chosen))):
        say(f"note: {note}")
    if loaded.scenario.training is not None:
        say("note: steps are measured here; `lorafa-prof learn` trains the scenario's cells on its task")
    from lorafa_prof.results.lock import locked
    from lorafa_prof.results.store import Store
    from lorafa_prof.running.gpu_use import await_free_gpu
    from lorafa_prof.running.sweep import cells_to_run

    store = Store(out or Path("out") / loaded.scenario.name)
    discard = {cell.cell_id for cell in chosen} if rerun != "missing" else set()
    if dry_run:
        _print_plan(chosen, labels, store.load_all(cell_ids, discard=discard))
        return 0
    command = arguments or sys.argv[1:]
    store.prepare()
    with locked(store.out, command):
        results = store.load_all(cell_ids, discard=discard)
        changed = _changed([results[cell.cell_id] for cell in chosen if cell.cell_id in results])
        _tell_what_changed(changed, stale)
        todo = cells_to_run(chosen, results, rerun, () if stale == "keep" else changed)
        _tell_what_is_there(store, cell_ids, chosen, todo, results)
        if on is None and not share_gpu:
            await_free_gpu(todo, wait_s, say)
        sweep(
            todo,
            store,
            results,
            executor,
            table_of=cell_ids,
            labels=labels,
            scenario=loaded.scenario,
            command=command,
            timeout_s=timeout_s,
            console=console,
            max_failures=max_failures,
        )
    measured = [results[cell.cell_id] for cell in chosen if cell.cell_id in results]
    if left := len(chosen) - len(measured):
        say(f"{count(left, 'cell')} not run, because of --max-failures {max_failures}")
    print_results(measured)
    _print_notes(measured)
    say(f"results: {store.results_csv}")
    if figures:
        _draw(store)
    if claims := loaded.scenario.claims:
        say(f"{count(len(claims), 'claim')}: `lorafa-prof check {store.out}` judges them")
    return _exit_code(measured, labels)


def _print_plan(cells: Sequence[Cell], labels: Mapping[str, str], results: CellResults) -> None:
    def status(cell: Cell) -> str:
        return str(results[cell.cell_id].row["status"]) if cell.cell_id in results else "-"

    rows = [(cell.cell_id, status(cell), labels[cell.cell_id]) for cell in cells]
    print_table("cells", ("cell", "status", "label"), rows)


def _changed(kept: Sequence[CellResult]) -> dict[str, list[str]]:
    """Of kept results that depend on what is no longer the same, by id, what that is."""
    from lorafa_prof.claims.trust import is_stale, stale_parts
    from lorafa_prof.results.fingerprint import fingerprint_of

    now = {result.cell.cell_id: fingerprint_of(result.cell) for result in kept}
    return {
        cell_id: stale_parts(result, now[cell_id])
        for result in kept
        if is_stale(result, now[cell_id := result.cell.cell_id])
    }


def _tell_what_changed(changed: Mapping[str, Sequence[str]], stale: Stale) -> None:
    if not changed:
        return
    parts = first_of(list(dict.fromkeys(part for parts in changed.values() for part in parts)), 4)
    cells = f"{count(len(changed), 'kept cell')} of other than today's {parts or 'settings'}"
    done = (
        "STALE, kept as asked by --stale keep" if stale == "keep" else "measured again (--stale keep keeps)"
    )
    say(f"note: {cells}: {done}")


def _tell_what_is_there(
    store: Store, cell_ids: Sequence[str], chosen: Sequence[Cell], todo: Sequence[Cell], results: CellResults
) -> None:
    """Say on stderr what of OUT is kept, and what of it does not go together with this run."""
    from lorafa_prof.results.provenance import environment
    from lorafa_prof.results.provenance_file import environment_difference

    if len(todo) < len(chosen):
        say(f"{len(chosen) - len(todo)} of {len(chosen)} cells are measured already")
    again = {cell.cell_id for cell in todo}
    kept = [result for cell_id, result in results.items() if cell_id not in again]
    if kept and (difference := environment_difference(kept, environment("cpu"))):
        say(f"note: {difference}")
    if others := store.others(cell_ids):
        say(
            f"note: {count(len(others), 'record')} in {store.out / 'cells'} of other settings or of another "
            f"scenario (such as {others[0]}): kept there, but not in results.csv"
        )


def _marks(result: CellResult) -> str:
    return str(result.table_row()["marks"] or "")


def _print_notes(results: Sequence[CellResult]) -> None:
    """What the marks in the table mean, and what a reader must know of rows that are in order, each once."""
    from lorafa_prof.results.marks import legend, read

    if meant := legend({name for result in results for name in read(_marks(result))}):
        say(meant)
    told = {
        str(result.row["message"])
        for result in results
        if result.row["status"] == "ok" and result.row.get("message")
    }
    for note in sorted(told):
        say(f"note: {note}")


def _draw(store: Store) -> None:
    from lorafa_prof.figures.save import save_all
    from lorafa_prof.results.records import read_results

    folder = store.out / "figures"
    tell_drawn(save_all(read_results(store.out), folder, None, ["png", "pdf"]), folder)


def _exit_code(results: Sequence[CellResult], labels: Mapping[str, str]) -> int:
    from lorafa_prof.results.record import FAILED
    from lorafa_prof.running.progress import outcome

    failed = [result for result in results if result.row["status"] in FAILED]
    for result in failed:
        say(f"{labels[result.cell.cell_id]}: {outcome(result)}")
    if failed:
        say(f"{count(len(failed), 'cell')} failed; --rerun failed tries again")
    return 1 if failed else 0
