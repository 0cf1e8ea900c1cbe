"""What a figure is: a name, what it shows, and how it is drawn from the results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure as Drawing
from pandas import DataFrame

from lorafa_prof.errors import NothingToJudgeError
from lorafa_prof.results.records import Results


class NoDataError(NothingToJudgeError):
    """The results have nothing this figure could show; `str(error)` is the reason."""


@dataclass(frozen=True)
class Figure:
    """A figure made from the results table.

    Args:
        name: its name on the command line and its file's stem.
        title: what it shows, one line.
        draw: makes the drawing from a table as `read_table` gives it; raises `NoDataError` if the table
            has nothing to show. It is called in the `style` asked for: `figure.figsize` and the font sizes of
            matplotlib's settings are those of its page.
    """

    name: str
    title: str
    draw: Callable[[DataFrame], Drawing]


@dataclass(frozen=True)
class RecordFigure:
    """A figure that needs more than the table: the cells' records, the twin's verification, learning runs.

    Args:
        name, title: as of a `Figure`.
        draw: makes the drawing from the results; raises `NoDataError` if they have nothing to show.
        on_request: drawn only where it is asked for by name, since it runs steps again, which takes a while.
        of_learning: of learning runs; where there are none and nobody asks for it, nothing is said of it.
    """

    name: str
    title: str
    draw: Callable[[Results], Drawing]
    on_request: bool = False
    of_learning: bool = False
