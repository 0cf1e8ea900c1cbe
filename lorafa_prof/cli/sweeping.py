"""Running cells with their progress on stderr; what was measured is kept, whatever ends the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lorafa_prof.cli.say import say

if TYPE_CHECKING:
    from rich.console import Console

    from lorafa_prof.cell import Cell
    from lorafa_prof.results.store import CellResults, Store
    from lorafa_prof.running.executor import Executor
    from lorafa_prof.scenario.schema import Scenario


def sweep(
    cells: Sequence[Cell],
    store: Store,
    results: CellResults,
    executor: Executor,
    *,
    table_of: Sequence[str],
    labels: Mapping[str, str],
    scenario: Scenario,
    command: Sequence[str],
    timeout_s: float | None,
    console: Console,
    max_failures: int | None = None,
) -> None:
    """Run `cells`; table and provenance are written also where the run is interrupted.

    Args:
        cells: what to run.
        store: keeps the results; prepared already.
        results: those of earlier runs; takes the new ones.
        executor: runs them.
        table_of: ids of all the cells that belong into the table, in its order.
        labels: what cells are called, by id.
        scenario: that they are of.
        command: that runs them, for provenance.
        timeout_s: limit for one cell.
        console: takes the progress.
        max_failures: after so many that failed no other starts; None: whatever becomes of them.

    Raises:
        KeyboardInterrupt: it was interrupted; what ran was finished, or, at the second time, ended.
    """
    from lorafa_prof.results.provenance_file import write_provenance
    from lorafa_prof.running.progress import SweepProgress
    from lorafa_prof.running.stopping import finishing_at_interrupt
    from lorafa_prof.running.sweep import run_sweep

    clear_what_the_dead_left()
    try:
        with (
            SweepProgress(len(cells), console, labels) as progress,
            finishing_at_interrupt(say) as interrupted,
        ):
            run_sweep(
                cells,
                store,
                progress,
                results,
                executor,
                table_of=table_of,
                timeout_s=timeout_s,
                max_failures=max_failures,
                stop=interrupted,
            )
        if interrupted():
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        say("what was measured is kept; the same command goes on from there")
        raise
    finally:
        store.write_table(table_of, results)
        in_table = [results[cell_id] for cell_id in table_of if cell_id in results]
        write_provenance(store, scenario, in_table, command)


def clear_what_the_dead_left() -> None:
    """End processes and remove temporary folders of sweeps that were killed."""
    from lorafa_prof.running.family import end_families_of_the_dead
    from lorafa_prof.running.scratch import remove_scratch_of_the_dead

    end_families_of_the_dead()
    remove_scratch_of_the_dead()
