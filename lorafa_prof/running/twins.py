"""The twin of a cell: where it would run without a GPU, and with which allocator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.settings import AllocatorSettings
from lorafa_prof.scenario.cell import Cell


def cell_on_twin(cell: Cell) -> Cell | None:
    """The cell on the twin of its GPU; None where there is no such twin."""
    if cell.device == "cpu":
        return None
    if cell.device.startswith("sim:"):
        return cell
    return cell.model_copy(update={"device": f"sim:{cell.gpu}"}) if cell.gpu in GPUS else None


def settings_of(environment: Mapping[str, Any]) -> AllocatorSettings | None:
    """The allocator's settings of a machine; None where they are not known.

    Raises:
        UsageError: they name an option that the model of the allocator does not have.
    """
    named = environment.get("allocator")
    if named is None:
        return None
    text = named.get("PYTORCH_ALLOC_CONF") or named.get("PYTORCH_CUDA_ALLOC_CONF")
    return AllocatorSettings.parse(text) if text else AllocatorSettings()
