"""From a scenario's cells to its learning runs, checked before any of them begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.learning.limits import check_trainable
from lorafa_prof.learning.opening import open_run
from lorafa_prof.learning.run import LearningRun
from lorafa_prof.running.plan import error_at
from lorafa_prof.scenario.expand import PlannedCell
from lorafa_prof.scenario.load import LoadedScenario


@dataclass(frozen=True)
class PlannedRun:
    """A run, and the cell that it came from with its places in the scenario's file.

    Attributes:
        only_at_best_rate: whether it is trained only if its learning rate is the one that is chosen.
    """

    run: LearningRun
    planned: PlannedCell
    only_at_best_rate: bool


def runs_of(
    loaded: LoadedScenario, planned: Sequence[PlannedCell], *, run_generated_code: bool = False
) -> list[PlannedRun]:
    """Return all runs of a scenario's cells, learning rate by learning rate and seed by seed.

    Raises:
        ScenarioError: the scenario does not say what to train on, or how; or a cell cannot be trained.
    """
    scenario = loaded.scenario
    for key, block in (("task", scenario.task), ("training", scenario.training)):
        if block is None:
            raise loaded.error(f"a scenario that learns has a {key}: block, and this one has none", ())
    assert scenario.task is not None
    assert scenario.training is not None
    training = scenario.training
    found: dict[str, PlannedRun] = {}
    for plan in planned:
        try:
            check_trainable(plan.cell)
        except LorafaProfError as error:
            raise error_at(loaded, error, plan, plan.method_path) from error
        if not plan.learning_rates:
            raise loaded.error(
                f"no learning rate for {plan.cell.label}: set learning_rate here, or in the method's entry",
                ("training",),
            )
        for rate in plan.learning_rates:
            for seed in (*training.seed, *training.more_seeds):
                for draw_seed in training.draw_seed:
                    run = LearningRun(
                        cell=plan.cell,
                        task=scenario.task,
                        learning_rate=rate,
                        seed=seed,
                        draw_seed=draw_seed,
                        run_generated_code=run_generated_code,
                        **training.model_dump(exclude={"learning_rate", "seed", "more_seeds", "draw_seed"}),
                    )
                    found.setdefault(run.run_id, PlannedRun(run, plan, seed in training.more_seeds))
    if len(found) > loaded.most_cells:
        raise loaded.error(
            f"its axes make {len(found):,} runs, {loaded.most_cells:,} are the most: make several scenarios "
            f"of it, or allow them by --max-cells {len(found)}",
            (),
        )
    return list(found.values())


def check_runs(loaded: LoadedScenario, planned: Sequence[PlannedRun]) -> dict[str, int]:
    """Open the task of each model, once, and return how many steps each run has, by its id.

    Raises:
        ScenarioError: the data is missing, or the task is none for a model; it names file, line and key.
    """
    items: dict[str, int] = {}
    steps: dict[str, int] = {}
    for plan in planned:
        run = plan.run
        same = f"{run.cell.model.model_dump_json()} {run.cell.seq}"
        if same not in items:
            try:
                items[same] = len(open_run(run).task.training_examples())
            except LorafaProfError as error:
                raise error_at(loaded, error, plan.planned, ("task",)) from error
        steps[run.run_id] = run.total_steps(items[same])
    return steps
