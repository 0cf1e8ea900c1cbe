"""`lorafa-prof fit`: will it fit, without a GPU."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from lorafa_prof.cli.axes import CommandWithAxes
from lorafa_prof.cli.json_output import JsonOutput, json_option
from lorafa_prof.cli.options import given_axes, set_option
from lorafa_prof.cli.say import put_prose, say
from lorafa_prof.cli.scenario_cells import loaded_scenario
from lorafa_prof.cli.tables import print_table
from lorafa_prof.errors import UsageError

if TYPE_CHECKING:
    from lorafa_prof.fitting.answer import Answer, FitQuestion

_DEFAULT_BATCH = 1


@click.command("fit", cls=CommandWithAxes, short_help="Tell what fits into a GPU's memory.")
@click.argument("scenario", required=False)
@set_option
@click.option("--jobs", type=click.IntRange(min=1), help="Predictions at once  [default: one a core]")
@json_option
def fit_command(
    scenario: str | None, overrides: tuple[str, ...], jobs: int | None, as_json: JsonOutput
) -> None:
    """Tell what fits into a GPU's memory, without one.

    The step as asked, the largest batch, the longest sequence, and where nothing fits what would. The step
    runs on shapes, through a model of PyTorch's allocator. Name --model and --gpu, or a SCENARIO (a file or
    the name of a shipped one), whose cells are then asked about. Without one the batch is 1 by default.
    """
    if scenario is None and "gpu" not in given_axes():
        raise UsageError("--gpu is missing; `lorafa-prof list gpus` shows what there is")
    from lorafa_prof.fitting.answers_table import answers_json, answers_table, remarks
    from lorafa_prof.fitting.conclusion import conclusion
    from lorafa_prof.fitting.question import asked_of
    from lorafa_prof.scenario.overrides import Override

    batch = Override(("batch",), _DEFAULT_BATCH, "the default batch")
    asked = asked_of(loaded_scenario(scenario, overrides, own=[batch]))
    answers = _answers(asked, jobs)
    table = answers_table(answers)
    print_table(table.shared or "fit", table.header, table.rows, names=table.names)
    for line in remarks(answers):
        say(f"note: {line}")
    for line in conclusion(answers):
        put_prose(line)
    as_json.give_bare(answers_json(answers))


def _answers(asked: list[FitQuestion], jobs: int | None) -> list[Answer]:
    from rich.console import Console

    from lorafa_prof.fitting.answering import answer_all, parts_of
    from lorafa_prof.fitting.predictors import Predictor, in_processes
    from lorafa_prof.fitting.progress import FitProgress
    from lorafa_prof.running.pool import available_cores

    started = time.monotonic()
    jobs = jobs or min(available_cores(), 2 * len(asked))
    console = Console(stderr=True)
    with in_processes(jobs) as predict, FitProgress(parts_of(asked), console) as progress:
        predictor = Predictor(predict, progress.predicted)
        answers = answer_all(asked, predictor, threads=jobs, tell=progress.part_done)
    say(f"{predictor.count} predictions in {time.monotonic() - started:.0f} s")
    return answers
