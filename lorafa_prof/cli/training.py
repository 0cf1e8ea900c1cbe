"""Training the runs of a scenario, with progress on stderr and the provenance of what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorafa_prof.cli.say import say
from lorafa_prof.cli.sweeping import clear_what_the_dead_left
from lorafa_prof.words.phrases import count, first_of

if TYPE_CHECKING:
    from lorafa_prof.learning.record import RunRecord
    from lorafa_prof.learning.run import LearningRun
    from lorafa_prof.learning.sweep import Records, Rerun
    from lorafa_prof.results.store import Store
    from lorafa_prof.scenario.schema import Scenario


@dataclass(frozen=True)
class TrainingOrder:
    """How runs are trained, and what is known of them.

    Attributes:
        store: the folder of results, which is this command's alone.
        runs: all of the scenario, in the order of learning.csv.
        labels: what they are called, by id.
        steps: that they have, by id.
        records: what is kept of them; takes what is new.
        command: as it was given, for the provenance.
        rerun, timeout_s, wait_s, share_gpu, at_once, max_failures: the command's options.
    """

    store: Store
    scenario: Scenario
    runs: Sequence[LearningRun]
    labels: Mapping[str, str]
    steps: Mapping[str, int]
    records: Records
    command: Sequence[str]
    rerun: Rerun
    timeout_s: float | None
    wait_s: float | None
    share_gpu: bool
    at_once: int
    max_failures: int | None


def train(order: TrainingOrder, these: Sequence[LearningRun]) -> None:
    """Train those of `these` that are still to do.

    Raises:
        UsageError: others use the GPU, or the folder cannot be written.
        KeyboardInterrupt: after Ctrl-C, when what was under way has ended and is kept.
    """
    from lorafa_prof.learning.sweep import runs_to_train
    from lorafa_prof.running.gpu_use import await_free_gpu

    todo = runs_to_train(these, order.records, order.rerun)
    if len(todo) < len(these):
        say(f"{len(these) - len(todo)} of {count(len(these), 'run')} have ended already")
    kept = [order.records[run.run_id] for run in these if run.run_id in order.records]
    _tell_what_changed(kept, todo, order.rerun)
    if not order.share_gpu:
        await_free_gpu([run.cell for run in todo], order.wait_s, say)
    clear_what_the_dead_left()
    try:
        _train(order, todo)
    except KeyboardInterrupt:
        say("what was trained is kept; the same command goes on from there, a run from its last checkpoint")
        raise
    finally:
        _write_provenance(order)


def _train(order: TrainingOrder, todo: Sequence[LearningRun]) -> None:
    from rich.console import Console

    from lorafa_prof.learning.files import RunFiles, last_step
    from lorafa_prof.learning.progress import LearningProgress
    from lorafa_prof.learning.sweep import prepare_folder, train_runs
    from lorafa_prof.running.stopping import finishing_at_interrupt

    out = order.store.out
    prepare_folder(out)
    if order.rerun == "all":
        for run in todo:
            RunFiles(out, run.run_id).remove()
            order.records.pop(run.run_id, None)
    left = {
        run.run_id: max(0, order.steps[run.run_id] - last_step(RunFiles(out, run.run_id).losses))
        for run in todo
    }
    with (
        LearningProgress(left, order.labels, Console(stderr=True)) as progress,
        finishing_at_interrupt(say) as interrupted,
    ):
        train_runs(
            todo,
            out,
            progress,
            order.records,
            table_of=order.runs,
            timeout_s=order.timeout_s,
            at_once=order.at_once,
            isolated=order.scenario.isolated,
            max_failures=order.max_failures,
            stop=interrupted,
        )
    if interrupted():
        raise KeyboardInterrupt


def _write_provenance(order: TrainingOrder) -> None:
    """Write where the folder's results come from: those of `lorafa-prof run`, if there are some, too."""
    from lorafa_prof.results.provenance_file import provenance_of

    cell_ids = list(dict.fromkeys(run.cell.cell_id for run in order.runs))
    measured = order.store.load_all(cell_ids, discard=cell_ids).values()
    records = [order.records[run.run_id] for run in order.runs if run.run_id in order.records]
    environments = [result.environment for result in measured]
    environments += [record.environment for record in records]
    order.store.write_provenance(provenance_of(order.scenario, cell_ids, environments, order.command))


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
