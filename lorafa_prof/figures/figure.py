"""What a figure is: a name, what it shows, and how it is drawn from the results table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure as Drawing
from pandas import DataFrame

from lorafa_prof.errors import NothingToJudgeError


class NoDataError(NothingToJudgeError):
    """The table has nothing this figure could show; `str(error)` is the reason."""


@dataclass(frozen=True)
class Figure:
    """A figure made from the results table.

    Args:
        name: its name on the command line and its file's stem.
        title: what it shows, one line.
        draw: makes the drawing from a table as `read_table` gives it; raises `NoDataError` if the table
            has nothing to show.
    """

    name: str
    title: str
    draw: Callable[[DataFrame], Drawing]
