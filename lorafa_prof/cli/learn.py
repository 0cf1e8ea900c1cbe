"""`lorafa-prof learn`: train the cells of a scenario on its task."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorafa_prof.cli.countdown import Countdown
from lorafa_prof.cli.drawing import tell_drawn
from lorafa_prof.cli.json_output import JsonOutput, json_option
from lorafa_prof.cli.learned_output import tell_plan, tell_results
from lorafa_prof.cli.options import (
    device_option,
    gpu_use_options,
    output_option,
    set_option,
)
from lorafa_prof.cli.say import say
from lorafa_prof.cli.scenario_cells import loaded_scenario, matching
from lorafa_prof.cli.training import TrainingOrder, train
from lorafa_prof.words.phrases import count

if TYPE_CHECKING:
    from lorafa_prof.learning.run import LearningRun
    from lorafa_prof.learning.sweep import Records, Rerun


@click.command("learn")
@click.pass_obj
@click.argument("scenario")
@output_option("Folder of the results  [default: out/<scenario's name>]")
@set_option
@device_option("auto, cuda or cpu")
@click.option("-k", "pattern", metavar="REGEX", help="Only runs whose id or label matches.")
@click.option("--dry-run", is_flag=True, help="Check everything, list the runs, train nothing.")
@click.option(
    "--rerun",
    type=click.Choice(["missing", "failed", "all"]),
    default="missing",
    show_default=True,
    help="Which runs to train: those that have not ended, also failed ones (from checkpoints), or all anew.",
)
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), help="Seconds a run may take."
)
@gpu_use_options
@click.option(
    "--at-once",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Train so many runs at once on each GPU, or on the CPU: for small models.",
)
@click.option(
    "--max-failures",
    type=click.IntRange(min=1),
    metavar="N",
    help="Start no other run once N have failed (status error or timeout).",
)
@click.option(
    "--run-generated-code",
    is_flag=True,
    help="Run programs that the model writes for a task of programming, in a sandbox without network.",
)
@click.option("--figures/--no-figures", default=True, show_default=True, help="Draw figures at the end.")
@json_option
def learn_command(
    arguments: Sequence[str] | None,
    scenario: str,
    out: Path | None,
    overrides: tuple[str, ...],
    device: str | None,
    pattern: str | None,
    dry_run: bool,
    rerun: Rerun,
    timeout_s: float | None,
    wait_s: float | None,
    share_gpu: bool,
    at_once: int,
    max_failures: int | None,
    run_generated_code: bool,
    figures: bool,
    as_json: JsonOutput,
) -> int:
    """Train a scenario's cells on its task, and evaluate them.

    SCENARIO, a file or the name of a shipped one, has a task: and a training: block. Each cell is trained by
    all learning rates and seeds. The command goes on where it stopped, within a run from its last checkpoint.
    The results are in OUT: learning.csv, learning/, provenance.json, figures/.
    """
    loaded = loaded_scenario(scenario, overrides, device)
    from lorafa_prof.devices.device import resolve_device
    from lorafa_prof.figures.save import draw_learning_figures
    from lorafa_prof.learning.plan import check_runs, runs_of
    from lorafa_prof.learning.sweep import other_runs, read_records
    from lorafa_prof.quality.more_seeds import runs_at_best_rate
    from lorafa_prof.results.files import LEARNING_NAME
    from lorafa_prof.results.lock import locked
    from lorafa_prof.results.store import Store
    from lorafa_prof.running.plan import check_cells
    from lorafa_prof.scenario.expand import expand
    from lorafa_prof.scenario.labels import distinct_labels

    cells = expand(loaded, resolve_device)
    planned = runs_of(loaded, cells, run_generated_code=run_generated_code)
    runs = [plan.run for plan in planned]
    of_cells = distinct_labels([plan.cell for plan in cells])
    labels = {run.run_id: run.label_as(of_cells[run.cell.cell_id]) for run in runs}
    wanted = set(matching(labels, pattern, "no run matches; lorafa-prof learn --dry-run lists them"))
    chosen = [plan.run for plan in planned if plan.run.run_id in wanted and not plan.only_at_best_rate]
    with Countdown("checking cells") as checked:
        check_cells(loaded, cells, checked)
    steps = check_runs(loaded, planned)
    store = Store(out or Path("out") / loaded.scenario.name)
    if dry_run:
        listed = [plan for plan in planned if plan.run.run_id in wanted]
        tell_plan(listed, labels, steps, read_records(store.out, runs, discard=rerun == "all"), as_json)
        return 0
    command = arguments or sys.argv[1:]
    store.prepare()
    with locked(store.out, command):
        records = read_records(store.out, runs, discard=rerun == "all")
        if others := other_runs(store.out, runs):
            say(
                f"note: {count(len(others), 'run')} in {store.out / 'learning'} of other settings or another "
                f"scenario (such as {others[0]}): kept there, but not in learning.csv"
            )
        order = TrainingOrder(
            store=store,
            scenario=loaded.scenario,
            runs=runs,
            labels=labels,
            steps=steps,
            records=records,
            command=command,
            rerun=rerun,
            timeout_s=timeout_s,
            wait_s=wait_s,
            share_gpu=share_gpu,
            at_once=at_once,
            max_failures=max_failures,
        )
        train(order, chosen)
        if more := [p.run for p in runs_at_best_rate(planned, records, store.out) if p.run.run_id in wanted]:
            say(f"{count(len(more), 'run')} with more seeds, at the learning rates that are best so far")
            train(order, more)
            chosen += more
    tell_results(chosen, labels, records, store.out, as_json)
    say(f"results: {store.out / LEARNING_NAME}")
    if figures and (store.out / LEARNING_NAME).is_file():
        with Countdown("drawing") as tell:
            drawn = draw_learning_figures(store.out, tell=tell)
        tell_drawn(drawn, store.out / "figures")
    return _exit_code(chosen, labels, records)


def _exit_code(runs: Sequence[LearningRun], labels: Mapping[str, str], records: Records) -> int:
    from lorafa_prof.learning.record import FAILED

    there = {run.run_id: records[run.run_id] for run in runs if run.run_id in records}
    if left := len(runs) - len(there):
        say(f"{count(left, 'run')} not trained, because of --max-failures")
    failed = {run_id: record for run_id, record in there.items() if record.status in FAILED}
    for run_id, record in failed.items():
        say(f"{labels[run_id]}: {record.status}: {record.message}")
    if failed:
        say(f"{count(len(failed), 'run')} failed; --rerun failed tries again")
    return 1 if failed else 0
