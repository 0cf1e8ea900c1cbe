"""How to get a row again: the command that gave it, and a scenario of that one cell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.scenario.schema import AXES

#: Where a cell is run once more, so that what is there stays.
_AGAIN = "out/again"
#: Options of the run that say which cells, and where to.
_OVERRULED = ("-k", "-o", "--output")


def reproducing_command(provenance: Mapping[str, Any], cell_id: str, device: str | None) -> str | None:
    """The run's command for this cell alone; None where another command than `run` gave it, or none is known.

    Args:
        provenance: the run's; empty where it is not known.
        cell_id: of the cell.
        device: where it ran: ``auto`` may be something else on the machine where it runs again.
    """
    command = provenance.get("command")
    if not isinstance(command, list) or command[:2] != ["lorafa-prof", "run"]:
        return None
    scenario = provenance.get("scenario")
    left_open = isinstance(scenario, dict) and "auto" in (scenario.get("device") or [])
    where = ["--device", device] if device and left_open else []
    return shlex.join([*_kept(command), *where, "-k", cell_id, "-o", _AGAIN])


def _kept(command: list[Any]) -> list[str]:
    """The command without options that are given anew; written otherwise (``-oX``) they are overruled too."""
    words = [str(word) for word in command]
    return [
        word
        for before, word in zip(["", *words], words, strict=False)
        if word not in _OVERRULED and before not in _OVERRULED
    ]


def one_cell_scenario(cell: Cell) -> dict[str, Any]:
    """The scenario, as data of YAML, whose only cell is this one, with everything said."""
    return {
        "schema": 1,
        "name": "one-cell",
        "model": cell.model.model_dump(mode="json"),
        "method": {
            "name": cell.method.name,
            # A bare list is an axis.
            **{
                key: [value] if isinstance(value, list) else value
                for key, value in cell.method.options.items()
            },
        },
        **cell.model_dump(mode="json", include=set(AXES)),
        **({"seq": {"lengths": list(cell.lengths)}} if cell.lengths else {}),
        "device": cell.device,
        "steps": cell.steps.model_dump(),
        "seed": cell.seed,
    }
