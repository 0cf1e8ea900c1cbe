"""`lorafa-prof flops`: three opinions on the FLOPs of a step, module by module."""

from __future__ import annotations

import json
import shutil
import sys

import click

from lorafa_prof.cli.axes import CommandWithAxes
from lorafa_prof.cli.options import cells_option, device_option, set_option
from lorafa_prof.cli.say import put_whole, say
from lorafa_prof.cli.scenario_cells import loaded_scenario, scenario_cells
from lorafa_prof.errors import UsageError


@click.command("flops", cls=CommandWithAxes)
@click.argument("scenario", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON in the place of the tables.")
@set_option
@device_option("auto or sim:<gpu>")
@cells_option
def flops_command(
    scenario: str | None, as_json: bool, overrides: tuple[str, ...], device: str | None, pattern: str | None
) -> None:
    """Tell the FLOPs of a step by three opinions, module by module, and why they differ where they do.

    They are the operations that the step executes on the twin of its GPU, a closed formula of the shapes, and
    fvcore's trace of the network, of forward alone. Of a SCENARIO or of a --model and other axes.
    """
    if device in ("cpu", "cuda"):
        raise UsageError(f"--device {device}: FLOPs are counted on a twin; give auto or sim:<gpu>")
    loaded = loaded_scenario(scenario, overrides, device)
    from lorafa_prof.devices.device import resolve_twin_of_gpu_here

    found = scenario_cells(loaded, resolve_twin_of_gpu_here, pattern)
    from lorafa_prof.running.plan import check_cells

    check_cells(loaded, [plan for plan in found.planned if plan.cell in found.chosen])
    from lorafa_prof.explaining.flops.json_form import SCHEMA_VERSION, opinions_json
    from lorafa_prof.explaining.flops.opinions import opinions_on
    from lorafa_prof.explaining.flops.text import opinions_text

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    records = []
    for number, cell in enumerate(found.chosen):
        label = found.labels[cell.cell_id]
        say(f"[{number + 1}/{len(found.chosen)}] {label}")
        opinions = opinions_on(cell)
        if as_json:
            records.append(opinions_json(opinions, label))
        else:
            put_whole("\n" * bool(number) + opinions_text(opinions, label, width))
    if as_json:
        put_whole(f"{json.dumps({'schema': SCHEMA_VERSION, 'cells': records}, indent=1)}\n")
