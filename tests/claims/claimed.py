"""Claims on cells that nothing ran: scenarios as text, and results told what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from cells import TWIN
from stored import PACKAGES
from tiny_cells import RANK, tiny_cell

from lorafa_prof.cell import Cell
from lorafa_prof.claims.baseline import Baseline
from lorafa_prof.claims.checks import Check, checks_of
from lorafa_prof.claims.finding import Finding, Item
from lorafa_prof.claims.judge import judge_claims
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns
from lorafa_prof.scenario.labels import distinct_labels
from lorafa_prof.scenario.load import LoadedScenario, validated_scenario
from lorafa_prof.scenario.yaml_data import parse_yaml
from lorafa_prof.scenario.yaml_lines import Document

#: The line of the first claim is the one below it.
HEAD = "schema: 1\nname: mine\nmodel: tiny-llama\nmethod: lora\nclaims:\n"
FIRST_LINE = 6


def cell(method: str = "lora-fa", rank: int = RANK, *, device: str = TWIN, **settings: Any) -> Cell:
    """On the twin, unless `device` says otherwise."""
    return tiny_cell(method=method, rank=rank, device=device, **settings)


def scenario(*claims: dict[str, Any], head: str = HEAD) -> LoadedScenario:
    """With these claims; each that has no name or metric of its own is on activation_bytes, by its number."""
    numbered = [
        {"name": f"claim {number}", "metric": "activation_bytes", **claim}
        for number, claim in enumerate(claims)
    ]
    return written(head + yaml.safe_dump(numbered, sort_keys=False, allow_unicode=True))


def written(text: str, file: str = "s.yaml") -> LoadedScenario:
    return validated_scenario(Document(Path(file), *parse_yaml(text)), [])


def result(
    of: Cell,
    status: str = "ok",
    *,
    storages: Sequence[dict[str, Any]] | None = None,
    held_otherwise: Sequence[dict[str, Any]] = (),
    packages: dict[str, str] | None = None,
    marks: dict[str, str] | None = None,
    **row: Any,
) -> CellResult:
    """A record; without `storages` as if saved tensors had not been recorded."""
    details: dict[str, Any] = {"marks": marks} if marks else {}
    if storages is not None:
        details["saved"] = {"storages": list(storages), "held_otherwise": list(held_otherwise)}
    return CellResult(
        cell=of,
        row={**setting_columns(of), "status": status, **row},
        details=details,
        environment={"packages": PACKAGES if packages is None else packages},
    )


def checks(*claims: dict[str, Any], of: Sequence[Cell]) -> list[Check]:
    return checks_of(scenario(*claims), of)


def judged(
    *claims: dict[str, Any],
    of: Sequence[CellResult],
    baseline: Baseline | None = None,
    missing: Sequence[Cell] = (),
) -> list[Finding]:
    """The findings on these results; cells that are `missing` have none."""
    loaded = scenario(*claims)
    cells = [*(each.cell for each in of), *missing]
    records = {each.cell.cell_id: each for each in of}
    return judge_claims(
        loaded,
        checks_of(loaded, cells),
        records,
        distinct_labels(cells),
        baseline,
        lambda id: records.get(id),
    )


def only(findings: Sequence[Finding]) -> tuple[Finding, Item]:
    """The one finding, and its one item."""
    (finding,) = findings
    (item,) = finding.items
    return finding, item
