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
from lorafa_prof.cli.sweeping import clear_what_the_dead_left
from lorafa_prof.words.phrases import count, first_of

if TYPE_CHECKING:
    from rich.console import Console

    from lorafa_prof.learning.record import RunRecord
    from lorafa_prof.learning.run import LearningRun
    from lorafa_prof.learning.sweep import Records, Rerun
    from lorafa_prof.results.store import Store
    from lorafa_prof.scenario.schema import Scenario


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
    all learning rates and seeds. The command goes on
    where it stopped, within a run from its last checkpoint. The results are in OUT: learning.csv, learning/,
    provenance.json, figures/.
    """
    loaded = loaded_scenario(scenario, overrides, device)
    from rich.console import Console

    from lorafa_prof.devices.device import resolve_device
    from lorafa_prof.figures.save import draw_learning_figures
    from lorafa_prof.learning.plan import check_runs, runs_of
    from lorafa_prof.learning.sweep import other_runs, read_records, runs_to_train
    from lorafa_prof.quality.more_seeds import runs_at_best_rate
    from lorafa_prof.results.files import LEARNING_NAME
    from lorafa_prof.results.lock import locked
    from lorafa_prof.results.store import Store
    from lorafa_prof.running.gpu_use import await_free_gpu
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
    console = Console(stderr=True)
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

        def train(these: Sequence[LearningRun]) -> None:
            todo = runs_to_train(these, records, rerun)
            if len(todo) < len(these):
                say(f"{len(these) - len(todo)} of {count(len(these), 'run')} have ended already")
            _tell_what_changed([records[run.run_id] for run in these if run.run_id in records], todo, rerun)
            if not share_gpu:
                await_free_gpu([run.cell for run in todo], wait_s, say)
            _train(
                todo,
                store,
                records,
                steps,
                table_of=runs,
                labels=labels,
                scenario=loaded.scenario,
                command=command,
                rerun=rerun,
                timeout_s=timeout_s,
                at_once=at_once,
                max_failures=max_failures,
                console=console,
            )

        train(chosen)
        if more := [p.run for p in runs_at_best_rate(planned, records, store.out) if p.run.run_id in wanted]:
            say(f"{count(len(more), 'run')} with more seeds, at the learning rates that are best so far")
            train(more)
            chosen += more
    tell_results(chosen, labels, records, store.out, as_json)
    say(f"results: {store.out / LEARNING_NAME}")
    if figures and (store.out / LEARNING_NAME).is_file():
        with Countdown("drawing") as tell:
            drawn = draw_learning_figures(store.out, tell=tell)
        tell_drawn(drawn, store.out / "figures")
    return _exit_code(chosen, labels, records)


def _train(
    todo: Sequence[LearningRun],
    store: Store,
    records: Records,
    steps: Mapping[str, int],
    *,
    table_of: Sequence[LearningRun],
    labels: Mapping[str, str],
    scenario: Scenario,
    command: Sequence[str],
    rerun: Rerun,
    timeout_s: float | None,
    at_once: int,
    max_failures: int | None,
    console: Console,
) -> None:
    """Train with progress on stderr; provenance is written also where that is interrupted."""
    from lorafa_prof.learning.files import RunFiles, last_step
    from lorafa_prof.learning.progress import LearningProgress
    from lorafa_prof.learning.sweep import prepare_folder, train_runs
    from lorafa_prof.running.stopping import finishing_at_interrupt

    clear_what_the_dead_left()
    prepare_folder(store.out)
    if rerun == "all":
        for run in todo:
            RunFiles(store.out, run.run_id).remove()
            records.pop(run.run_id, None)
    left = {
        run.run_id: max(0, steps[run.run_id] - last_step(RunFiles(store.out, run.run_id).losses))
        for run in todo
    }
    try:
        with (
            LearningProgress(left, labels, console) as progress,
            finishing_at_interrupt(say) as interrupted,
        ):
            train_runs(
                todo,
                store.out,
                progress,
                records,
                table_of=table_of,
                timeout_s=timeout_s,
                at_once=at_once,
                isolated=scenario.isolated,
                max_failures=max_failures,
                stop=interrupted,
            )
        if interrupted():
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        say("what was trained is kept; the same command goes on from there, a run from its last checkpoint")
        raise
    finally:
        _write_provenance(store, scenario, table_of, records, command)


def _write_provenance(
    store: Store, scenario: Scenario, runs: Sequence[LearningRun], records: Records, command: Sequence[str]
) -> None:
    """Write where the folder's results come from: those of `lorafa-prof run`, if there are some, too."""
    from lorafa_prof.results.provenance_file import provenance_of

    cell_ids = list(dict.fromkeys(run.cell.cell_id for run in runs))
    measured = store.load_all(cell_ids, discard=cell_ids).values()
    environments = [result.environment for result in measured]
    environments += [records[run.run_id].environment for run in runs if run.run_id in records]
    store.write_provenance(provenance_of(scenario, cell_ids, environments, command))


def _tell_what_changed(kept: Sequence[RunRecord], todo: Sequence[LearningRun], rerun: Rerun) -> None:
    """Say on stderr which of the kept runs depend on what has changed; they are not trained anew."""
    from lorafa_prof.results.fingerprint import changed_parts, fingerprint_of, kept_fingerprint

    if rerun == "all":
        return
    goes_on = {run.run_id for run in todo}
    for words, runs in (
        ("kept", [record for record in kept if record.run.run_id not in goes_on]),
        ("gone on with", [record for record in kept if record.run.run_id in goes_on]),
    ):
        parts = [changed_parts(kept_fingerprint(r.environment), fingerprint_of(r.run.cell)) for r in runs]
        if changed := [part for part in parts if part]:
            what = first_of(list(dict.fromkeys(each for part in changed for each in part)), 4)
            these = f"{count(len(changed), 'run')} of other than today's {what}"
            say(f"note: {these}: {words}; --rerun all trains anew")


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
