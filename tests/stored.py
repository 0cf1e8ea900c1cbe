"""Parts of a stored record that tests make up."""

from __future__ import annotations

from typing import Any

#: Versions as `environment.packages` names them.
PACKAGES = {"lorafa-prof": "0.1.0", "torch": "2.13.0", "transformers": "5.17.0", "peft": "0.21.0"}


def storage(module: str, nbytes: int, kind: str = "linear_input", **changes: Any) -> dict[str, Any]:
    """A saved tensor, an entry of `details.saved.storages`."""
    return {
        "module": module,
        "op": "linear",
        "kind": kind,
        "shape": [nbytes // 2],
        "dtype": "bfloat16",
        "nbytes": nbytes,
        "savers": 1,
        "from_before": False,
        "line": "",
        **changes,
    }
