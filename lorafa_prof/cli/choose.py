"""Choosing cells of a scenario by ``-k``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lorafa_prof.errors import UsageError

if TYPE_CHECKING:
    from lorafa_prof.scenario.cell import Cell


def matching_cells(cells: Sequence[Cell], labels: Mapping[str, str], pattern: str | None) -> list[Cell]:
    """The cells whose id or label `pattern` matches; all of them where it is None.

    Raises:
        UsageError: the pattern is no regular expression, or matches none.
    """
    try:
        wanted = re.compile(pattern or "")
    except re.error as error:
        raise UsageError(f"-k {pattern}: this is no regular expression: {error}") from error
    chosen = [cell for cell in cells if wanted.search(cell.cell_id) or wanted.search(labels[cell.cell_id])]
    if not chosen:
        raise UsageError(f"-k {pattern}: no cell matches; lorafa-prof run --dry-run lists them")
    return chosen
