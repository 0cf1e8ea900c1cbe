"""`lorafa-prof verify`: the twin against the GPU that is there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorafa_prof.cli.allocated import follows
from lorafa_prof.cli.countdown import Countdown
from lorafa_prof.cli.json_output import JsonOutput, json_option
from lorafa_prof.cli.options import cells_option, gpu_use_options, output_option, set_option, timeout_option
from lorafa_prof.cli.say import put_prose, say
from lorafa_prof.cli.scenario_cells import loaded_scenario, scenario_cells
from lorafa_prof.cli.sweeping import clear_what_the_dead_left
from lorafa_prof.cli.tables import print_table
from lorafa_prof.errors import NothingToJudgeError
from lorafa_prof.words.phrases import count

if TYPE_CHECKING:
    from lorafa_prof.cell import Cell
    from lorafa_prof.running.progress import SweepProgress
    from lorafa_prof.scenario.expand import PlannedCell, ResolveDevice
    from lorafa_prof.scenario.schema import Scenario
    from lorafa_prof.verification.judge import VerifyRecord
    from lorafa_prof.verification.store import VerifyStore
    from lorafa_prof.verification.sweep import Rerun


@click.command("verify")
@click.pass_obj
@click.argument("scenario")
@output_option("Folder of the results  [default: out/verify-<scenario's name>]")
@set_option
@cells_option
@click.option(
    "--gpu-trace/--no-gpu-trace",
    default=True,
    show_default=True,
    help="Record what the GPU's allocator is asked for, to tell the operations that differ.",
)
@timeout_option
@gpu_use_options
@click.option(
    "--rerun",
    type=click.Choice(["missing", "failed", "all", "twin"]),
    default="missing",
    show_default=True,
    help="Which cells: those without a record, also failed ones, or all; twin: predict those that have a "
    "record again, for which no GPU is needed.",
)
@json_option
def verify_command(
    arguments: Sequence[str] | None,
    scenario: str,
    out: Path | None,
    overrides: tuple[str, ...],
    pattern: str | None,
    gpu_trace: bool,
    timeout_s: float | None,
    wait_s: float | None,
    share_gpu: bool,
    rerun: Rerun,
    as_json: JsonOutput,
) -> int:
    """Set predictions against the GPU that is here, byte by byte.

    Cells of SCENARIO run on the GPU that is there and on its twin, whatever the scenario's device. The
    results are in OUT: verify.csv, verify/, traces/, provenance.json. Exits with 3 where the twin differs
    from the GPU. Cells of several GPUs are compared rank by rank; torchrun and srun may start it, as `run`.
    """
    if follows():
        return 0
    loaded = loaded_scenario(scenario, overrides)
    resolve = _on_the_gpu(predict_only=rerun == "twin")
    found = scenario_cells(loaded, resolve, pattern)
    labels, chosen, own_ids = found.labels, found.chosen, found.cell_ids
    from rich.console import Console

    from lorafa_prof.results.lock import locked
    from lorafa_prof.running.gpu_use import await_free_gpu
    from lorafa_prof.running.plan import check_cells
    from lorafa_prof.running.progress import SweepProgress
    from lorafa_prof.running.stopping import finishing_at_interrupt
    from lorafa_prof.verification.store import VerifyStore
    from lorafa_prof.verification.summary import HEADER, exit_code, summary, table_rows
    from lorafa_prof.verification.sweep import cells_to_verify, verify_sweep
    from lorafa_prof.verification.verify_csv import VERIFY_COLUMNS

    console = Console(stderr=True)
    with Countdown("checking cells") as checked:
        check_cells(loaded, _sides(found.planned, predict_only=rerun == "twin"), checked)
    store = VerifyStore(out or Path("out") / f"verify-{loaded.scenario.name}")
    store.prepare()
    with locked(store.out, arguments or sys.argv[1:]):
        # Several scenarios may be verified into one folder, whose table then has them all.
        others = store.others(own_ids)
        cell_ids = [*own_ids, *others]
        records = store.load_all(cell_ids, discard=[c.cell_id for c in chosen] if rerun == "all" else ())
        todo = cells_to_verify(chosen, records, rerun)
        if rerun == "twin" and not todo:
            raise NothingToJudgeError(f"{store.out}: no cell has a record that could be predicted again")
        _tell_what_is_there(store, len(chosen) - len(todo) if rerun != "twin" else 0, chosen, others)
        if not share_gpu and rerun != "twin":
            await_free_gpu(todo, wait_s, say)
        clear_what_the_dead_left()
        try:
            with (
                SweepProgress(len(todo), console, labels) as progress,
                finishing_at_interrupt(say) as interrupted,
            ):
                verify_sweep(
                    todo,
                    store,
                    records,
                    table_of=cell_ids,
                    timeout_s=timeout_s,
                    gpu_trace=gpu_trace,
                    predict_only=rerun == "twin",
                    started=progress.cell_started,
                    ended=lambda record: _tell(progress, record),
                    stop=interrupted,
                )
            if interrupted():
                raise KeyboardInterrupt
        finally:
            # Also of a run that was interrupted.
            store.write_table(cell_ids, records)
            there = [records[cell_id] for cell_id in cell_ids if cell_id in records]
            _write_provenance(store, loaded.scenario, there, arguments or sys.argv[1:])
    verified = [records[cell.cell_id] for cell in chosen if cell.cell_id in records]
    put_prose(summary(verified, labels))
    print_table("predicted less measured, bytes", HEADER, table_rows(verified, labels), names=1)
    as_json.give(
        {
            "out": str(store.out),
            "summary": summary(verified, labels),
            "rows": [{name: each.row.get(name) for name in VERIFY_COLUMNS} for each in verified],
        }
    )
    say(f"results: {store.table}")
    return exit_code(verified)


def _tell_what_is_there(store: VerifyStore, kept: int, chosen: Sequence[Cell], others: Sequence[str]) -> None:
    """Say on stderr what of OUT is kept, and what of it is of something else."""
    if kept:
        say(f"{kept} of {len(chosen)} cells are verified already; --rerun all starts anew")
    if others:
        say(f"note: {store.table} has {count(len(others), 'cell')} of other scenarios or settings too")


def _sides(planned: Sequence[PlannedCell], *, predict_only: bool) -> list[PlannedCell]:
    """The cells as they are measured, if they are, and as they are predicted: either may not be possible."""
    twins = [replace(plan, cell=plan.cell.on_twin()) for plan in planned]
    return twins if predict_only else [*planned, *twins]


def _on_the_gpu(*, predict_only: bool) -> ResolveDevice:
    """Every cell runs on the GPU that is there; without one, what is predicted again on the scenario's."""
    import torch

    from lorafa_prof.cell import ResolvedDevice
    from lorafa_prof.devices.here import gpu_here

    if predict_only and not torch.cuda.is_available():
        return lambda device, gpu: ResolvedDevice("cuda", gpu)
    here = gpu_here().name
    return lambda device, gpu: ResolvedDevice("cuda", here)


def _write_provenance(
    store: VerifyStore, scenario: Scenario, records: Sequence[VerifyRecord], command: Sequence[str]
) -> None:
    from lorafa_prof.results.provenance_file import provenance_of

    environments = [side.environment for one in records for side in (one.measured, one.predicted)]
    ids = [one.cell.cell_id for one in records]
    store.write_provenance(provenance_of(scenario, ids, environments, command))


def _tell(progress: SweepProgress, record: VerifyRecord) -> None:
    from lorafa_prof.results.record import CellResult
    from lorafa_prof.verification.summary import outcome

    row = {"status": record.row["status"], "message": outcome(record)}
    progress.cell_ended(CellResult(cell=record.cell, row=row))
