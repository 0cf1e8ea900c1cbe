"""Judgements as JSON, with every number: for other programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from lorafa_prof.claims.finding import Finding, Item, Judgement
from lorafa_prof.results.tensors import TensorChange

#: Keys are only added within a version.
SCHEMA_VERSION = 1


def json_report(judgements: Sequence[Judgement]) -> str:
    """All judgements with all their findings, items and culprits."""
    report = {"schema_version": SCHEMA_VERSION, "judgements": [_judgement(each) for each in judgements]}
    return json.dumps(report, indent=1, allow_nan=False) + "\n"


def _judgement(judgement: Judgement) -> dict[str, Any]:
    return {
        "title": judgement.title,
        "exit_code": judgement.exit_code,
        "machine": judgement.machine,
        "notes": judgement.notes,
        "cells_failed": judgement.cells_failed,
        "noun": judgement.noun,
        "count": {state: judgement.count(state) for state in ("pass", "fail", "unknown")},
        "findings": [_finding(finding) for finding in judgement.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "name": finding.name,
        "state": finding.state,
        "word": finding.word,
        "about": finding.about,
        "source": finding.source,
        "file": finding.file,
        "line": finding.line,
        "items": [_item(item) for item in finding.items],
        "culprits_of": finding.culprits_of,
        "culprits_title": finding.culprits_title,
        "culprits": [_culprit(change) for change in finding.culprits],
        "notes": finding.notes,
    }


def _item(item: Item) -> dict[str, Any]:
    # JSON has no infinity, which a ratio to 0 would be.
    known = item.value is not None and math.isfinite(item.value)
    return {**asdict(item), "value": item.value if known else None}


def _culprit(change: TensorChange) -> dict[str, Any]:
    return {
        **asdict(change.key),
        "before": asdict(change.before),
        "after": asdict(change.after),
        "delta_bytes": change.delta_bytes,
    }
