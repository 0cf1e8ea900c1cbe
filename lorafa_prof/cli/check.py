"""`lorafa-prof check`: judge the claims of scenarios."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorafa_prof.cli.axes import CommandWithAxes
from lorafa_prof.cli.countdown import Countdown
from lorafa_prof.cli.expectations import claims_of, expectation_options
from lorafa_prof.cli.judgement_output import Outputs, judgement_options, tell
from lorafa_prof.cli.options import (
    PATH,
    device_option,
    given_axes,
    gpu_use_options,
    marked_option,
    output_option,
    save_file,
    set_option,
    stale_option,
    timeout_option,
)
from lorafa_prof.cli.say import say
from lorafa_prof.cli.scenario_cells import loaded_scenario
from lorafa_prof.cli.sweeping import sweep
from lorafa_prof.errors import UsageError

if TYPE_CHECKING:
    from lorafa_prof.claims.finding import Judgement
    from lorafa_prof.claims.gate import Gate
    from lorafa_prof.claims.marked import Marked
    from lorafa_prof.claims.trust import Doubts, Stale
    from lorafa_prof.results.store import CellResults, Store
    from lorafa_prof.scenario.load import LoadedScenario

#: Of several scenarios the first of these that one of them has is the command's exit code.
_WORST_FIRST = (3, 1, 4, 0)
_ITS_OWN = "{}: --at-most and --at-least are of axes without a file, and of profiles; its claims are its own"


@dataclass(frozen=True)
class _Asked:
    """The options, but for those of the outputs."""

    out: Path | None
    baseline: Path | None
    update: bool
    overrides: Sequence[str]
    device: str | None
    pattern: str | None
    timeout_s: float | None
    wait_s: float | None
    share_gpu: bool
    stale: Stale
    marked: Marked
    arguments: Sequence[str]
    at_most: Sequence[str]
    at_least: Sequence[str]


@click.command("check", cls=CommandWithAxes)
@click.pass_obj
@click.argument("what", nargs=-1, metavar="[SCENARIO | OUT]...")
@expectation_options
@output_option("Folder of the results  [default: out/check-<scenario's name>]")
@click.option(
    "--baseline",
    type=PATH,
    metavar="FILE",
    help="The baseline  [default: beside the scenario, <scenario>.baseline.json]",
)
@click.option("--update-baseline", "update", is_flag=True, help="Write the baseline anew, then judge.")
@set_option
@device_option("auto (the twin), cuda, cpu or sim:<gpu>")
@click.option("--claim", "pattern", metavar="REGEX", help="Only claims whose name matches.")
@timeout_option
@gpu_use_options
@stale_option
@marked_option
@judgement_options
def check_command(
    arguments: Sequence[str] | None,
    what: tuple[str, ...],
    out: Path | None,
    baseline: Path | None,
    update: bool,
    overrides: tuple[str, ...],
    device: str | None,
    pattern: str | None,
    timeout_s: float | None,
    wait_s: float | None,
    share_gpu: bool,
    stale: Stale,
    marked: Marked,
    at_most: tuple[str, ...],
    at_least: tuple[str, ...],
    outputs: Outputs,
) -> int:
    """Judge what scenarios claim, as a gate for CI.

    Each SCENARIO is a file or the name of a shipped one; of a folder OUT its stored results are judged. Cells
    that claims need and that have no result yet are run first, on the twin unless --device or the file says
    otherwise; so are predictions of other code than today's, which in OUT are not judged. Of profiles of code
    of your own --at-most and --at-least say what is expected, else that each fits. Exits with 0 if every
    claim holds, 3 if one fails, 4 if one cannot be judged.
    """
    if len(what) > 1 and (out or baseline):
        raise UsageError("-o and --baseline are of one scenario: check several without them, or one by one")
    words = arguments or sys.argv[1:]
    asked = _Asked(
        out,
        baseline,
        update,
        overrides,
        device,
        pattern,
        timeout_s,
        wait_s,
        share_gpu,
        stale,
        marked,
        words,
        at_most,
        at_least,
    )
    judgements = [_judgement(name, loaded, asked) for name, loaded in _loaded(what, asked)]
    tell(judgements, outputs)
    codes = {judgement.exit_code for judgement in judgements}
    return next(code for code in _WORST_FIRST if code in codes)


def _loaded(what: Sequence[str], asked: _Asked) -> list[tuple[str, LoadedScenario | None]]:
    """Return all that is to be judged; of results no scenario is loaded: they are judged as they are."""
    if not what:
        claims = claims_of(asked.at_most, asked.at_least)
        scenario = loaded_scenario(None, asked.overrides, asked.device, [claims])
        return [(scenario.scenario.name, scenario)]
    loaded: list[tuple[str, LoadedScenario | None]] = []
    for name in what:
        if os.path.isdir(name):  # noqa: PTH112 - of a name that is too long `Path.is_dir` raises
            if asked.overrides or asked.device is not None or asked.out or given_axes() or save_file():
                raise UsageError(
                    f"{name}: results are judged as they are: without --set, --device, -o and axes"
                )
            loaded.append((name, None))
        elif asked.at_most or asked.at_least:
            raise UsageError(_ITS_OWN.format(name))
        else:
            scenario = loaded_scenario(name, asked.overrides, asked.device)
            loaded.append((name, scenario))
    return loaded


def _judgement(name: str, loaded: LoadedScenario | None, asked: _Asked) -> Judgement:
    from lorafa_prof.claims.gate import gate_of, stored_gate
    from lorafa_prof.claims.profiles import holds_profiles, profiles_gate
    from lorafa_prof.claims.trust import stored_doubts

    out = Path(name)
    if loaded is None and holds_profiles(out):
        gate, store, results = profiles_gate(out, claims_of(asked.at_most, asked.at_least), asked.pattern)
    elif loaded is None:
        if asked.at_most or asked.at_least:
            raise UsageError(_ITS_OWN.format(name))
        gate, store, results = stored_gate(out, asked.pattern)
    else:
        gate = gate_of(loaded, asked.pattern)
        store = _store(gate, asked)
        results = _run_missing(gate, store, asked)
    doubts = stored_doubts(results, asked.stale, marked=asked.marked)
    return _judged(gate, store, results, doubts, asked)


def _store(gate: Gate, asked: _Asked) -> Store:
    from lorafa_prof.results.store import Store

    return Store(asked.out or Path("out") / f"check-{gate.loaded.scenario.name}")


def _judged(gate: Gate, store: Store, results: CellResults, doubts: Doubts, asked: _Asked) -> Judgement:
    from lorafa_prof.claims.baseline import baseline_beside
    from lorafa_prof.claims.gate import judged, kept_baseline, update_baseline

    place = asked.baseline or baseline_beside(gate.loaded.file)
    if not asked.update:
        return judged(gate, results, store, kept_baseline(gate, place), doubts)
    baseline = update_baseline(gate, store, place, doubts)
    say(f"baseline: {place}")
    return judged(gate, results, store, baseline, doubts)


def _run_missing(gate: Gate, store: Store, asked: _Asked) -> CellResults:
    """Run the cells that have no valid result, and return all results that the checks need."""
    from rich.console import Console

    from lorafa_prof.claims.trust import is_stale
    from lorafa_prof.results.fingerprint import fingerprint_of
    from lorafa_prof.results.lock import locked
    from lorafa_prof.results.record import FAILED
    from lorafa_prof.running.gpu_use import await_free_gpu
    from lorafa_prof.running.on_this_machine import OnThisMachine
    from lorafa_prof.running.plan import check_cells
    from lorafa_prof.scenario.labels import distinct_labels

    needed = gate.needed
    if not needed:  # what is claimed is of learning runs alone, and those are another command's
        return {}
    cells = [plan.cell for plan in needed]
    cell_ids = [cell.cell_id for cell in cells]
    console = Console(stderr=True)
    with Countdown("checking cells") as checked:
        check_cells(gate.loaded, needed, checked)
    store.prepare()
    with locked(store.out, asked.arguments):
        kept = store.load_all(cell_ids, discard=set(cell_ids))
        results = {
            cell_id: result
            for cell_id, result in kept.items()
            if result.row["status"] not in FAILED
            and (asked.stale == "keep" or not is_stale(result, fingerprint_of(result.cell)))
        }
        todo = [cell for cell in cells if cell.cell_id not in results]
        if not asked.share_gpu:
            await_free_gpu(todo, asked.wait_s, say)
        sweep(
            todo,
            store,
            results,
            OnThisMachine(gate.loaded.scenario.isolated),
            table_of=cell_ids,
            labels=distinct_labels(cells),
            scenario=gate.loaded.scenario,
            command=asked.arguments,
            timeout_s=asked.timeout_s,
            console=console,
        )
    return results
