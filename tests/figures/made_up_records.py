"""Details of cells' records, as far as figures read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def saved(*storages: dict[str, Any]) -> dict[str, Any]:
    """Details of a record; the storages given in the order of forward, kept largest first."""
    by_module: dict[str, int] = {}
    for entry in storages:
        by_module[entry["module"]] = by_module.get(entry["module"], 0) + entry["nbytes"]
    ordered = sorted(storages, key=lambda entry: -entry["nbytes"])
    return {"saved": {"by_module": by_module, "storages": ordered}}


def run(lengths: Sequence[int], unit: int, reserved: bool = True) -> dict[str, Any]:
    """Details of a run of these lengths: of each step `unit` bytes a token, and twice the most reserved."""
    steps, most = [], 0
    for length in lengths:
        most = max(most, 2 * length * unit)
        counters = {"allocated": length * unit, "reserved": most if reserved else None}
        steps.append({"seq": length, "memory": dict.fromkeys(("start", "end", "peak"), counters)})
    return {"memory": {"steps": steps}}


def fidelity(rule: str, *weights: tuple[str, float, float, float, float]) -> dict[str, Any]:
    """Details of a record: of each weight its module, share of the gradient, and the three distances."""
    return {
        "fidelity": {
            "rule": rule,
            "weights": [
                {
                    "module": module,
                    "gradient_share": share,
                    "steps": {rule: {"distance": plain}, "optimizer": {"scaled_distance": optimizer}},
                    "floor": {"rows": floor, "rows-and-columns": floor / 2},
                }
                for module, share, plain, optimizer, floor in weights
            ],
        }
    }
