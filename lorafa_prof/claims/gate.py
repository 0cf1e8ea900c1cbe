"""The gate: a scenario's claims judged, after its missing cells were run, or on results that are there."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lorafa_prof.cell import ResolvedDevice, device_kind
from lorafa_prof.claims.baseline import (
    TELLING_PACKAGES,
    Baseline,
    baseline_text,
    made_baseline,
    read_baseline,
)
from lorafa_prof.claims.checks import Check, checks_of
from lorafa_prof.claims.finding import Finding, Judgement
from lorafa_prof.claims.judge import judge_claims
from lorafa_prof.claims.learned import learned_in
from lorafa_prof.claims.marked import refusal
from lorafa_prof.claims.other_versions import told_of_baseline, told_of_measurements
from lorafa_prof.claims.trust import Doubts, doubts_of, several_machines
from lorafa_prof.devices.device import resolve_twin_by_default
from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.quality.read import read_learning
from lorafa_prof.quality.run import LearningRun
from lorafa_prof.results.files import LEARNING_NAME, write_atomically
from lorafa_prof.results.provenance import package_version
from lorafa_prof.results.record import FAILED, CellResult
from lorafa_prof.results.soundness import read_json
from lorafa_prof.results.store import CellResults, Store
from lorafa_prof.scenario.expand import PlannedCell, ResolveDevice, expand
from lorafa_prof.scenario.labels import distinct_labels
from lorafa_prof.scenario.load import LoadedScenario, validated_scenario
from lorafa_prof.scenario.overrides import parse_override
from lorafa_prof.scenario.yaml_data import KeyPath
from lorafa_prof.scenario.yaml_lines import Document


@dataclass(frozen=True)
class Gate:
    """A scenario made ready to be judged.

    Attributes:
        planned: all of its cells.
        checks: of the claims that were chosen.
    """

    loaded: LoadedScenario
    planned: tuple[PlannedCell, ...]
    checks: tuple[Check, ...]

    @property
    def needed(self) -> list[PlannedCell]:
        """The cells whose steps the checks are about, in the scenario's order."""
        ids = {cell.cell_id for check in self.checks if not check.is_learned for cell in check.cells}
        return [plan for plan in self.planned if plan.cell.cell_id in ids]


def gate_of(loaded: LoadedScenario, pattern: str | None) -> Gate:
    """Expand a scenario, on the twin where it leaves the device open, and plan its claims.

    Args:
        loaded: the scenario.
        pattern: a regular expression: only claims whose name it matches.

    Raises:
        ScenarioError: as `expand` and `checks_of` do.
        UsageError: the pattern is no regular expression or matches no claim.
        NothingToJudgeError: the scenario makes no claims.
    """
    return _gate(loaded, resolve_twin_by_default, pattern)


def _gate(loaded: LoadedScenario, resolve: ResolveDevice, pattern: str | None) -> Gate:
    if not loaded.scenario.claims:
        raise NothingToJudgeError(f"{loaded.file}: it makes no claims (docs/claims.md says how)")
    planned = expand(loaded, resolve)
    cells = [plan.cell for plan in planned]
    return Gate(loaded, tuple(planned), chosen_checks(loaded, checks_of(loaded, cells), pattern))


def chosen_checks(loaded: LoadedScenario, checks: Sequence[Check], pattern: str | None) -> tuple[Check, ...]:
    """Those of the claims whose name `pattern` matches.

    Raises:
        UsageError: the pattern is no regular expression or matches no claim.
    """
    try:
        wanted = re.compile(pattern or "")
    except re.error as error:
        raise UsageError(f"--claim {pattern}: this is no regular expression: {error}") from error
    chosen = tuple(check for check in checks if wanted.search(check.claim.name))
    if not chosen:
        raise UsageError(f"--claim {pattern}: no claim of {loaded.file} matches")
    return chosen


def judged(
    gate: Gate,
    results: CellResults,
    store: Store,
    baseline: Baseline | None,
    doubts: Doubts | None = None,
) -> Judgement:
    """Judge what is there, but for `doubts`; `store` has the details of cells whose claims fail."""
    doubts = doubts if doubts is not None else doubts_of(results)
    cells = [cell for check in gate.checks for cell in check.cells]
    labels = distinct_labels(list({cell.cell_id: cell for cell in cells}.values()))
    learned = learned_in(store.out) if any(check.is_learned for check in gate.checks) else None
    found = judge_claims(gate.loaded, gate.checks, results, labels, baseline, store.load, doubts, learned)
    failed = [
        f"{labels[cell_id]}: {result.row.get('message') or result.row['status']}"
        for cell_id, result in results.items()
        if cell_id in labels and result.row["status"] in FAILED
    ]
    used = [results[cell_id] for cell_id in labels if cell_id in results]
    here = {name: package_version(name) for name in TELLING_PACKAGES}
    notes = (
        *doubts.notes,
        *several_machines(used),
        *_messages(used),
        *told_of_baseline(gate.checks, results, baseline),
        *told_of_measurements(used, here, failed=any(finding.state == "fail" for finding in found)),
    )
    return Judgement(
        title=gate.loaded.scenario.name,
        findings=tuple(found),
        exit_code=_exit_code(found, failed),
        notes=notes,
        machine=machines_text(used),
        cells_failed=tuple(failed),
    )


def _exit_code(found: Sequence[Finding], failed: Sequence[str]) -> int:
    states = {finding.state for finding in found}
    if "fail" in states:
        return 3
    if failed:
        return 1
    return 0 if states == {"pass"} else 4


def _messages(used: Sequence[CellResult]) -> list[str]:
    return sorted(
        {
            str(result.row["message"])
            for result in used
            if result.row["status"] == "ok" and result.row.get("message")
        }
    )


def machines_text(used: Sequence[CellResult]) -> str:
    """Devices and versions behind results, in a few words."""
    devices = sorted({result.cell.device for result in used})
    versions = sorted(
        {
            f"{name} {version}"
            for result in used
            for name in TELLING_PACKAGES
            if (version := result.environment.get("packages", {}).get(name))
        }
    )
    return ", ".join([*devices, *versions])


def kept_baseline(gate: Gate, place: Path) -> Baseline | None:
    """The baseline in the file `place`; None where there is none, or no claim asks for it.

    Raises:
        UsageError: it cannot be read.
    """
    asked_for = any(check.expected.from_baseline for check in gate.checks)
    return read_baseline(place) if asked_for else None


def update_baseline(gate: Gate, store: Store, place: Path, doubts: Doubts | None = None) -> Baseline:
    """Write what the cells have now to `place`; of cells that are doubted nothing is written.

    Raises:
        UsageError: a cell has no value, no claim compares with the baseline, one that does was not chosen, or
            it cannot be written.
    """
    chosen = {check.index for check in gate.checks}
    for index, claim in enumerate(gate.loaded.scenario.claims):
        if claim.compares_with_baseline and index not in chosen:
            raise UsageError(
                f"--update-baseline writes the whole baseline, '{claim.name}' included: leave out --claim"
            )
    doubts = doubts if doubts is not None else Doubts()
    for cell_id, why in doubts.of_cells.items():
        raise UsageError(f"the baseline is left as it is: {cell_id}: {why}")
    wanted = [check for check in gate.checks if check.expected.from_baseline]
    compared = {check.cell.cell_id for check in wanted}
    records = {cell_id: record for cell_id in compared if (record := store.load(cell_id)) is not None}
    for check in wanted if doubts.marked == "refuse" else ():
        record = records.get(check.cell.cell_id)
        if record and (why := refusal(record, check.metric)):
            raise UsageError(f"the baseline is left as it is: {check.cell.label}, {check.metric.name}: {why}")
    baseline = made_baseline(gate.checks, records)
    try:
        write_atomically(place, baseline_text(baseline))
    except OSError as error:
        raise UsageError(
            f"cannot write the baseline {place}: {error.strerror}; name one by --baseline"
        ) from error
    return baseline


def stored_gate(out: Path, pattern: str | None) -> tuple[Gate, Store, CellResults]:
    """The claims of the scenario that `out` has results of, and those results.

    Raises:
        UsageError: `out` is no folder of results, or its claims cannot be judged as they are.
        NothingToJudgeError: there are no results, or no claims.
    """
    file = out / "provenance.json"
    try:
        provenance = read_json(file)
        cell_ids, scenario = [str(cell_id) for cell_id in provenance["cells"]], dict(provenance["scenario"])
        replaced = _overridden(provenance.get("command"))
    except FileNotFoundError as error:
        raise NothingToJudgeError(f"{out}: holds no results of `lorafa-prof run` or `check`") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: this cannot be read as a record of lorafa-prof") from error
    loaded = validated_scenario(Document(file, scenario, replaced=replaced), [])
    # Of a sweep that was allowed more cells; those that are excluded count too.
    loaded = replace(loaded, most_cells=max(loaded.most_cells, 10 * len(cell_ids)))
    store = Store(out)
    results = store.load_all(cell_ids)
    runs = read_learning(out) if (out / LEARNING_NAME).is_file() else []
    if not results and not runs:
        raise NothingToJudgeError(f"{out}: holds no results of its cells")
    places = {(result.cell.device, result.cell.gpu) for result in results.values()}
    places |= {(str(run.settings.get("device")), _gpu(run)) for run in runs}
    return _gate(loaded, _where_they_ran(places), pattern), store, results


def _gpu(run: LearningRun) -> str | None:
    gpu = run.settings.get("gpu")
    return None if gpu is None else str(gpu)


def _overridden(command: Any) -> dict[KeyPath, str]:
    """What ``--set`` put in the place of the file's own when the folder was made, as far as that is told."""
    words = [str(word) for word in command] if isinstance(command, list) else []
    given = [word.removeprefix("--set=") for word in words if word.startswith("--set=")]
    given += [value for option, value in itertools.pairwise(words) if option == "--set"]
    overrides = [parse_override(text) for text in given]
    return {override.path: override.option for override in overrides}


def _where_they_ran(places: Collection[tuple[str, str | None]]) -> ResolveDevice:
    """What `device` and `gpu` of the scenario were where results of these devices and GPUs came from."""
    gpus = {gpu or "unknown" for device, gpu in places if device_kind(device) == "cuda"}
    if len(gpus) > 1:
        raise NothingToJudgeError(
            f"its cells ran on several GPUs ({', '.join(sorted(gpus))}), and `device: cuda` is one: "
            "keep each GPU's results in a folder of its own"
        )
    measured = next((gpu for device, gpu in places if device_kind(device) == "cuda"), None)

    def resolve(device: str, gpu: str) -> ResolvedDevice:
        if device == "cuda" or (device == "auto" and measured is not None):
            return ResolvedDevice("cuda", measured)
        return resolve_twin_by_default(device, gpu)

    return resolve
