"""Callbacks of trainers that profile their training: `TrainerCallback` of transformers, `LightningCallback`.

Each is imported at first use, with the library that it is for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lorafa_prof.integrations.lightning import LightningCallback
    from lorafa_prof.integrations.trainer import TrainerCallback

__all__ = ["LightningCallback", "TrainerCallback"]

_HOMES = {
    "LightningCallback": "lorafa_prof.integrations.lightning",
    "TrainerCallback": "lorafa_prof.integrations.trainer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lorafa_prof.integrations' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
