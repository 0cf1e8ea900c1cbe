"""`lorafa-prof flops`: three opinions on the FLOPs of a step, module by module."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from lorafa_prof.cli.axes import CommandWithAxes
from lorafa_prof.cli.countdown import Countdown
from lorafa_prof.cli.json_output import JsonOutput, json_option
from lorafa_prof.cli.options import cells_option, device_option, set_option
from lorafa_prof.cli.say import put_whole
from lorafa_prof.cli.scenario_cells import loaded_scenario, scenario_cells
from lorafa_prof.errors import UsageError

if TYPE_CHECKING:
    from lorafa_prof.cell import Cell
    from lorafa_prof.explaining.flops.modules import Opinions


@click.command("flops", cls=CommandWithAxes)
@click.argument("scenario", required=False)
@set_option
@device_option("auto or sim:<gpu>")
@cells_option
@json_option
def flops_command(
    scenario: str | None,
    overrides: tuple[str, ...],
    device: str | None,
    pattern: str | None,
    as_json: JsonOutput,
) -> None:
    """Tell a step's FLOPs by three opinions, module by module.

    They are the operations that the step executes on the twin of its GPU, a closed formula of the shapes, and
    fvcore's trace of the network, of forward alone; where they differ, why. Of a SCENARIO or of axes.
    """
    if device in ("cpu", "cuda"):
        raise UsageError(f"--device {device}: FLOPs are counted on a twin; give auto or sim:<gpu>")
    loaded = loaded_scenario(scenario, overrides, device)
    from lorafa_prof.devices.device import resolve_twin_of_gpu_here

    found = scenario_cells(loaded, resolve_twin_of_gpu_here, pattern)
    from lorafa_prof.running.plan import check_cells

    with Countdown("checking cells") as checked:
        check_cells(loaded, [plan for plan in found.planned if plan.cell in found.chosen], checked)
    opinions = _asked(found.chosen, found.labels)
    from lorafa_prof.explaining.flops.json_form import opinions_json
    from lorafa_prof.explaining.flops.text import opinions_text

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    put_whole("\n".join(opinions_text(each, found.labels[each.cell.cell_id], width) for each in opinions))
    as_json.give(opinions_json(opinions, found.labels))


def _asked(cells: Sequence[Cell], labels: Mapping[str, str]) -> list[Opinions]:
    from lorafa_prof.explaining.flops.opinions import opinions_on

    found: list[Opinions] = []
    with Countdown("counting", lines=True) as tell:
        tell(0, len(cells), labels[cells[0].cell_id])
        for done, cell in enumerate(cells, start=1):
            found.append(opinions_on(cell))
            tell(done, len(cells), labels[cell.cell_id])
    return found
