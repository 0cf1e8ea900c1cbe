"""`lorafa-prof predict`: an unchanged script on a GPU's twin."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorafa_prof.cli.json_output import JsonOutput, json_option
from lorafa_prof.cli.say import put_whole, say
from lorafa_prof.one_line import harmless_lines

if TYPE_CHECKING:
    from lorafa_prof.predicting.prediction import Prediction

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
@click.option("--fail-on-oom", is_flag=True, help="Exit with code 3 where memory runs out.")
@click.option(
    "--dry",
    multiple=True,
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Write no weights there: those of a prediction are zeros.",
)
@json_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="-- python SCRIPT [ARGS]...")
def predict_command(
    gpu: str,
    steps: int,
    fail_on_oom: bool,
    dry: tuple[Path, ...],
    as_json: JsonOutput,
    command: tuple[str, ...],
) -> int:
    """Run a script as it is on a GPU's twin, and tell whether it fits and which of its lines hold the memory.

    Its cuda is that of the GPU, of which there need be none: tensors there are shapes. It is ended after some
    optimizer steps. What it does beside that, such as writing files, it does as ever; what it prints goes to
    stderr.
    """
    from lorafa_prof.devices.gpus.gpu import gpu_called
    from lorafa_prof.predicting.script import script_of

    script, meant = script_of(command), gpu_called(gpu, about="--gpu")
    from lorafa_prof.predicting.predict import predict_script

    with _stdout_on_stderr():
        prediction = predict_script(script, meant, steps, dry)
    for note in prediction.notes:
        say(f"note: {note}")
    _show(prediction)
    as_json.give(prediction.as_json())
    if prediction.status == "oom" and fail_on_oom:
        return _OOM_EXIT_CODE
    return EXIT_CODES[prediction.status]


def _show(prediction: Prediction) -> None:
    from lorafa_prof.predicting.prediction_text import prediction_text

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
