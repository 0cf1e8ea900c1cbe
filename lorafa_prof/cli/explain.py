"""`lorafa-prof explain`: what makes up a step's memory, why, and what would make it smaller."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorafa_prof.cli.axes import CommandWithAxes
from lorafa_prof.cli.options import device_option, given_axes, save_file, set_option
from lorafa_prof.cli.say import put_whole, say
from lorafa_prof.cli.scenario_cells import loaded_scenario, scenario_cells
from lorafa_prof.errors import UsageError

if TYPE_CHECKING:
    from lorafa_prof.explaining.explanation import Explanation
    from lorafa_prof.explaining.subject import Subject


@click.command("explain", cls=CommandWithAxes)
@click.argument("what", required=False, metavar="[OUT | SCENARIO]")
@click.option("-k", "--cell", "pattern", metavar="REGEX", help="The cell whose id or label matches.")
@click.option("--against", metavar="REGEX", help="Tell what differs from the cell that matches this.")
@click.option(
    "--what-if/--no-what-if",
    default=None,
    help="Predict what would make it smaller, which takes a while  [default: yes, but not with --against]",
)
@click.option(
    "--depth",
    type=click.IntRange(1, 3),
    default=2,
    show_default=True,
    help="1: the parts; 2: the largest tensors and why they are kept; 3: all of them.",
)
@click.option(
    "--json", "json_file", metavar="FILE", help="Write JSON, in bytes; '-': on stdout, and no text."
)
@set_option
@device_option("auto or sim:<gpu>")
@click.option("--jobs", type=click.IntRange(min=1), help="Predictions at once  [default: one a core]")
def explain_command(
    what: str | None,
    pattern: str | None,
    against: str | None,
    what_if: bool | None,
    depth: int,
    json_file: str | None,
    overrides: tuple[str, ...],
    device: str | None,
    jobs: int | None,
) -> None:
    """Explain the memory of a cell: of results in the folder OUT, or of a SCENARIO or a --model, not run.

    A tree from the peak down to single tensors, why each of them is kept, and what would remove it, by the
    twin of the cell's GPU. Of a cell that was measured, what the twin cannot explain is told. Where axes
    make two cells, the second is told against the first.
    """
    _check_before(what, device, json_file)
    if what is None or not os.path.isdir(what):  # noqa: PTH112 - `Path.is_dir` raises of a name too long
        subjects = _picked_of_scenario(what, pattern, against, overrides, device)
    elif overrides or device or given_axes() or save_file():
        raise UsageError(f"{what}: results are explained as they are: without --set, --device and axes")
    else:
        subjects = _picked_in_folder(Path(what), pattern, against)
    if what_if is None:
        what_if = len(subjects) == 1
    from lorafa_prof.explaining.explain_cells import explain_cells
    from lorafa_prof.running.pool import available_cores

    explanations = explain_cells(subjects, jobs or available_cores(), _tell, what_if=what_if)
    _show(explanations, depth, json_file)


def _check_before(what: str | None, device: str | None, json_file: str | None) -> None:
    """What would come to nothing only after all predictions."""
    if what is not None and Path(what).suffix == ".csv" and os.path.isfile(what):  # noqa: PTH113
        raise UsageError(f"{what}: give the folder of the results, '{Path(what).parent}', or a scenario")
    if device in ("cpu", "cuda"):
        raise UsageError(f"--device {device}: a scenario is explained on a twin; give auto or sim:<gpu>")
    if json_file not in (None, "-") and not Path(str(json_file)).absolute().parent.is_dir():
        raise UsageError(f"--json {json_file}: there is no folder {Path(str(json_file)).parent}")


def _show(explanations: Sequence[Explanation], depth: int, json_file: str | None) -> None:
    from lorafa_prof.explaining.against_text import against_text
    from lorafa_prof.explaining.explanation_text import explanation_text
    from lorafa_prof.explaining.json_form import explanations_json

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if json_file != "-":
        if len(explanations) == 2:
            one, other = explanations
            text = against_text(one, other, depth, width)
        else:
            text = explanation_text(explanations[0], depth, width)
        put_whole(text)
    if json_file is not None:
        _write(json.dumps(explanations_json(explanations), indent=1), json_file)


def _write(text: str, file: str) -> None:
    try:
        with click.open_file(file, "w", encoding="utf-8") as stream:
            stream.write(f"{text}\n")
    except OSError as error:
        raise UsageError(f"--json {file}: cannot be written: {error.strerror}") from error


def _tell(done: int, count: int, what: str) -> None:
    say(f"[{done}/{count}] {what}")


def _picked_in_folder(out: Path, pattern: str | None, against: str | None) -> list[Subject]:
    from lorafa_prof.explaining.folder import subjects_in, with_details

    return [with_details(subject, out) for subject in _picked(subjects_in(out), pattern, against)]


def _picked_of_scenario(
    name: str | None, pattern: str | None, against: str | None, overrides: tuple[str, ...], device: str | None
) -> list[Subject]:
    loaded = loaded_scenario(name, overrides, device)
    from lorafa_prof.devices.device import resolve_twin_of_gpu_here
    from lorafa_prof.explaining.subject import subjects_of

    found = scenario_cells(loaded, resolve_twin_of_gpu_here, None)
    subjects = subjects_of(found.cells)
    if name is None and len(subjects) == 2 and pattern is None and against is None:
        picked = subjects[::-1]
    else:
        picked = _picked(subjects, pattern, against)
    ids = {subject.cell_id for subject in picked}
    from lorafa_prof.running.plan import check_cells

    check_cells(found.loaded, [plan for plan in found.planned if plan.cell.cell_id in ids])
    return picked


def _picked(subjects: Sequence[Subject], pattern: str | None, against: str | None) -> list[Subject]:
    """The cell to explain, and the one that it is set against, if any."""
    from lorafa_prof.explaining.subject import chosen

    picked = []
    for wanted, option in ((pattern, "--cell"), (against, "--against")):
        if option == "--cell" or wanted is not None:
            others = [subject for subject in subjects if subject not in picked]
            if not others:
                raise UsageError("--against: there is only one cell, and nothing to set it against")
            subject, note = chosen(others, wanted, option)
            picked.append(subject)
            if note:
                say(f"note: {note}")
    return picked
