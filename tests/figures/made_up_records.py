"""Details of cells' records, as far as figures read them."""

from __future__ import annotations

from typing import Any


def saved(*storages: dict[str, Any]) -> dict[str, Any]:
    """Details of a record; the storages given in the order of forward, kept largest first."""
    by_module: dict[str, int] = {}
    for entry in storages:
        by_module[entry["module"]] = by_module.get(entry["module"], 0) + entry["nbytes"]
    ordered = sorted(storages, key=lambda entry: -entry["nbytes"])
    return {"saved": {"by_module": by_module, "storages": ordered}}
