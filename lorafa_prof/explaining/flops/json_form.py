"""The three opinions as values for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lorafa_prof.explaining.flops.modules import Opinions
from lorafa_prof.explaining.flops.rows import rows_of


def opinions_json(several: Sequence[Opinions], labels: Mapping[str, str]) -> dict[str, Any]:
    """Return all that is known, in FLOPs; those of a row are of all its modules together.

    Args:
        several: of a cell each.
        labels: what the cells are called, by id.
    """
    return {
        "cells": [_record(opinions, labels[opinions.cell.cell_id]) for opinions in several],
    }


def _record(opinions: Opinions, label: str) -> dict[str, Any]:
    return {
        "cell_id": opinions.cell.cell_id,
        "label": label,
        "executed": dict(opinions.counted.by_phase),
        "recomputed": opinions.counted.recomputed,
        "two_n": opinions.two_n,
        "rows": [
            {
                "modules": list(row.modules),
                "phase": row.phase,
                "executed": row.executed,
                "closed_form": row.others["closed form"],
                "fvcore": row.others["fvcore"],
                "why_not_closed_form": list(row.causes["closed form"]),
                "why_not_fvcore": list(row.causes["fvcore"]),
            }
            for row in rows_of(opinions)
        ],
        "without_opinion": dict(opinions.missing),
        "operations_without_formula": dict(opinions.counted.uncounted_products),
        "notes": list(opinions.notes),
    }
