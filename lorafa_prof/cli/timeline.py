"""`lorafa-prof timeline`: what a step's memory does, allocation by allocation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lorafa_prof.cli.axes import CommandWithAxes
from lorafa_prof.cli.countdown import Countdown
from lorafa_prof.cli.json_output import JsonOutput, json_option
from lorafa_prof.cli.options import cells_option, device_option, output_option, set_option
from lorafa_prof.cli.say import put, say
from lorafa_prof.cli.scenario_cells import loaded_scenario, scenario_cells
from lorafa_prof.errors import UsageError
from lorafa_prof.one_line import one_line

if TYPE_CHECKING:
    from lorafa_prof.cell import Cell, ResolvedDevice
    from lorafa_prof.instruments.allocations.timeline import OutOfMemory, Timeline


@click.command("timeline", cls=CommandWithAxes)
@click.argument("scenario", required=False)
@output_option("Files go to its folder timelines  [default: out/<scenario's name>]")
@set_option
@device_option("auto or sim:<gpu>")
@cells_option
@json_option
def timeline_command(
    scenario: str | None,
    out: Path | None,
    overrides: tuple[str, ...],
    device: str | None,
    pattern: str | None,
    as_json: JsonOutput,
) -> None:
    """Predict a step's memory, allocation by allocation.

    For each cell of SCENARIO OUT/timelines has a .pickle that https://pytorch.org/memory_viz opens, with
    module names, a .csv of the live bytes by kind, and a figure of them, .png and .pdf. Prints the path of
    every file.
    """
    loaded = loaded_scenario(scenario, overrides, device)
    found = scenario_cells(loaded, _twin_or_refused, pattern)
    labels, chosen = found.labels, found.chosen
    _check_devices(chosen)
    from lorafa_prof.running.plan import check_cells

    with Countdown("checking cells") as checked:
        check_cells(loaded, [plan for plan in found.planned if plan.cell in chosen], checked)
    from lorafa_prof.running.recorded_step import predict_timeline

    folder = (out or Path("out") / loaded.scenario.name) / "timelines"
    told: list[dict[str, Any]] = []
    # Nothing is printed while there is a bar.
    with Countdown("predicting") as tell:
        for done, cell in enumerate(chosen):
            label = labels[cell.cell_id]
            tell(done, len(chosen), label)
            timeline = predict_timeline(cell)
            paths = _write(timeline, folder, cell, label)
            told.append(
                {"cell_id": cell.cell_id, "label": label, "files": paths, "notes": [*_notes(timeline)]}
            )
    for each in told:
        for note in each["notes"]:
            say(f"{each['label']}: {note}")
        for path in each["files"]:
            put(path)
    as_json.give({"cells": told})


def _twin_or_refused(device: str, gpu: str) -> ResolvedDevice:
    from lorafa_prof.cell import ResolvedDevice
    from lorafa_prof.devices.device import resolve_twin_of_gpu_here

    if device in ("cpu", "cuda"):
        # Whether there is a GPU does not matter: such cells are refused, where they are chosen at all.
        return ResolvedDevice(device, None)
    return resolve_twin_of_gpu_here(device, gpu)


def _check_devices(cells: Sequence[Cell]) -> None:
    for cell in cells:
        if not cell.is_predicted:
            raise UsageError(
                f"{cell.label} has device {cell.device}: timeline predicts; run it with --device sim:<gpu>",
                about="device",
            )


def _notes(timeline: Timeline) -> Iterator[str]:
    yield from timeline.notes
    if timeline.out_of_memory is not None:
        yield _failure(timeline.out_of_memory)


def _failure(failure: OutOfMemory) -> str:
    from lorafa_prof.running.out_of_memory import out_of_memory_line

    step, phase = failure.place.step, failure.place.phase
    where = f"in {phase} of step {step}" if step else "while the model was built"
    if failure.place.line:
        where += f", at {failure.place.line}"
    line = out_of_memory_line(failure.error)
    return f"{where}: {line} The .pickle ends there; without a whole step there is no .csv and no figure."


def _write(timeline: Timeline, folder: Path, cell: Cell, label: str) -> list[Path]:
    from lorafa_prof.figures.kit.style import style
    from lorafa_prof.figures.save import write_drawing
    from lorafa_prof.figures.timeline import draw_timeline
    from lorafa_prof.instruments.allocations.live_bytes import live_bytes, thinned
    from lorafa_prof.instruments.allocations.snapshot import dump_snapshot
    from lorafa_prof.results.files import write_atomically
    from lorafa_prof.results.spreadsheet import csv_text

    try:
        folder.mkdir(parents=True, exist_ok=True)
        pickled = folder / f"{cell.cell_id}.pickle"
        pickled.write_bytes(dump_snapshot(timeline))
        if timeline.steady is None:
            return [pickled]
        table = live_bytes(timeline)
        listed = folder / f"{cell.cell_id}.csv"
        few = thinned(table)
        write_atomically(listed, csv_text([[str(name) for name in few], *few.itertuples(index=False)]))
    except OSError as error:
        raise UsageError(f"{folder}: cannot write timelines there: {error.strerror or error}") from error
    subtitle = one_line(f"{label}, on the twin of {cell.gpu}")
    with style():
        drawn = write_drawing(draw_timeline(table, subtitle), folder, cell.cell_id, ("png", "pdf"))
    return [pickled, listed, *drawn]
