"""lorafa-prof: memory and systems profiling of fine-tuning steps, Full-FT, LoRA and LoRA-FA.

The Python API is small: `load_scenario` and `expand` turn a file into cells, `measure_cell` measures one in
this process, `read_table` reads stored results, `profile` and `Memory` measure any
code. They are imported at first use,
since PyTorch takes seconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lorafa_prof.profiling.profile import profile
    from lorafa_prof.results.table import read_table
    from lorafa_prof.running.measure import measure_cell
    from lorafa_prof.scenario.expand import expand
    from lorafa_prof.scenario.load import load_scenario
    from lorafa_prof.testing.memory import Memory

__all__ = ["Memory", "expand", "load_scenario", "measure_cell", "profile", "read_table"]

_HOMES = {
    "Memory": "lorafa_prof.testing.memory",
    "expand": "lorafa_prof.scenario.expand",
    "load_scenario": "lorafa_prof.scenario.load",
    "measure_cell": "lorafa_prof.running.measure",
    "profile": "lorafa_prof.profiling.profile",
    "read_table": "lorafa_prof.results.table",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lorafa_prof' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
