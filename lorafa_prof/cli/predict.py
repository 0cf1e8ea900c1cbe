"""`lorafa-prof predict`: an unchanged script on a GPU's twin."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lorafa_prof.cli.json_output import JsonOutput, json_option
from lorafa_prof.cli.say import put, put_prose, put_whole, say
from lorafa_prof.errors import UsageError
from lorafa_prof.one_line import harmless_lines

if TYPE_CHECKING:
    from lorafa_prof.predicting.largest import Largest
    from lorafa_prof.predicting.prediction import Prediction
    from lorafa_prof.predicting.script import Script
    from lorafa_prof.predicting.trials import Start

#: By how the script ended.
EXIT_CODES = {"ok": 0, "oom": 0, "refused": 1, "error": 1, "nothing": 4}
_OOM_EXIT_CODE = 3


@click.command("predict")
@click.option("--gpu", default="rtx-4090", show_default=True, help="The GPU that the script's cuda is.")
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="End the script after so many optimizer steps.",
)
@click.option("--max-batch", is_flag=True, help="Find the largest batch that fits.")
@click.option("--max-seq", is_flag=True, help="Find the longest sequence that fits.")
@click.option(
    "--vary",
    metavar="OPTION",
    help="The script's option that is varied  [default: one with a usual name among its arguments]",
)
@click.option("--fail-on-oom", is_flag=True, help="Exit with code 3 where memory runs out.")
@click.option(
    "--dry",
    multiple=True,
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Write no weights there: those of a prediction are zeros.",
)
@click.option(
    "--once", is_flag=True, help="Where memory runs out, do not run again to tell how much it needs."
)
@click.option("--no-limit", is_flag=True, help="Predict as if there was room for every request.")
@json_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="-- python SCRIPT [ARGS]...")
def predict_command(
    gpu: str,
    steps: int,
    max_batch: bool,
    max_seq: bool,
    vary: str | None,
    fail_on_oom: bool,
    dry: tuple[Path, ...],
    once: bool,
    no_limit: bool,
    as_json: JsonOutput,
    command: tuple[str, ...],
) -> int:
    """Predict the memory of an unchanged script.

    It runs as it is on a GPU's twin, which needs no GPU: tensors on cuda are shapes. It is ended after some
    optimizer steps, and told are whether it fits and which of its lines hold the memory. What it does beside
    that, such as writing files, it does as ever; what it prints goes to stderr. Where memory runs out it
    is run once more without the limit, to tell how much it needs.
    """
    from lorafa_prof.devices.gpus.gpu import gpu_called
    from lorafa_prof.predicting.script import script_of
    from lorafa_prof.predicting.trials import Start

    script, meant, start = script_of(command), gpu_called(gpu, about="--gpu"), Start.here()
    options = ["--gpu", meant.name, "--steps", str(steps), "--once"]
    options += [word for folder in dry for word in ("--dry", str(folder))]
    option = _varied(script, max_batch, max_seq, vary)
    if option is not None:
        if no_limit:
            raise UsageError("--no-limit: what fits is asked for; leave one of them out")
        found = _largest(script, option, options, start)
        _show_largest(found)
        as_json.give(found.as_json())
        return _OOM_EXIT_CODE if found.value is None and fail_on_oom else 0
    from lorafa_prof.predicting.predict import predict_script

    with _stdout_on_stderr():
        prediction = predict_script(script, meant, steps, dry, limited=not no_limit)
    if prediction.status == "oom" and not once:
        prediction = _with_need(prediction, script, options, start)
    for note in prediction.notes:
        say(f"note: {note}")
    _show(prediction)
    as_json.give(prediction.as_json())
    if prediction.status == "oom" and fail_on_oom:
        return _OOM_EXIT_CODE
    return EXIT_CODES[prediction.status]


def _varied(script: Script, max_batch: bool, max_seq: bool, vary: str | None) -> str | None:
    """The script's option of which the largest value is asked for; None: the script is predicted as it is."""
    from lorafa_prof.predicting.varied import BATCH, SEQ, option_of

    if max_batch and max_seq:
        raise UsageError("--max-batch and --max-seq: one at a time")
    if vary is not None:
        return vary
    if max_batch:
        return option_of(script, BATCH, "--max-batch")
    return option_of(script, SEQ, "--max-seq") if max_seq else None


def _with_need(prediction: Prediction, script: Script, options: list[str], start: Start) -> Prediction:
    from lorafa_prof.predicting.without_limit import with_need

    say("memory ran out; running once more without the limit, to tell how much is needed (not with --once)")
    return with_need(prediction, script, options, start)


def _largest(script: Script, option: str, options: list[str], start: Start) -> Largest:
    from lorafa_prof.predicting.largest import largest_that_fits
    from lorafa_prof.predicting.trials import predict_apart
    from lorafa_prof.predicting.varied import with_value

    def trial(value: int) -> dict[str, Any]:
        told = predict_apart(with_value(script, option, value), options, start)
        say(f"{option} {value:,}: {told['message']}")
        return told

    return largest_that_fits(option, trial)


def _show_largest(found: Largest) -> None:
    from lorafa_prof.words.tables import aligned

    put_prose(found.message)
    put()
    for line in aligned([(found.option, "reserved", "status"), *found.rows()], right=[0, 1]):
        put(line)


def _show(prediction: Prediction) -> None:
    from lorafa_prof.predicting.prediction_text import prediction_text

    put_prose(prediction.message)
    put_whole(harmless_lines(prediction_text(prediction)))


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """A context in which what is written to stdout, by processes of the script too, goes to stderr."""
    sys.stdout.flush()
    before, text = os.dup(1), sys.stdout
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = text
        os.dup2(before, 1)
        os.close(before)
