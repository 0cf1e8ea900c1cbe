"""Saying which figures were drawn at the end of a command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lorafa_prof.cli.say import say

if TYPE_CHECKING:
    from lorafa_prof.figures.save import SavedFigure, SkippedFigure


def tell_drawn(outcomes: Sequence[SavedFigure | SkippedFigure], folder: Path) -> None:
    """Say on stderr which figures are in `folder` now."""
    from lorafa_prof.figures.save import SavedFigure

    drawn = [outcome.name for outcome in outcomes if isinstance(outcome, SavedFigure)]
    say(f"figures: {', '.join(drawn) or 'none'} in {folder}")
