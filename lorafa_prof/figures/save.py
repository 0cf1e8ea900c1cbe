"""Writing figures to files: the same table gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure as Drawing
from pandas import DataFrame

from lorafa_prof.errors import UsageError
from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.style import style
from lorafa_prof.registry import nearest

FORMATS = ("png", "pdf", "svg")

# A date in a file would make every run's figures differ.
_METADATA: dict[str, dict[str, str | None]] = {
    "png": {},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}


@dataclass(frozen=True)
class Saved:
    """A figure that was drawn, and its files."""

    name: str
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class Skipped:
    """A figure that was not drawn, and why."""

    name: str
    reason: str


def save_all(
    table: DataFrame,
    folder: Path,
    names: Iterable[str] | None = None,
    formats: Sequence[str] = ("png", "pdf"),
) -> list[Saved | Skipped]:
    """Draw figures from `table` into ``folder/<name>.<format>``; `folder` is made if need be.

    Args:
        table: as `lorafa_prof.results.table.read_table` gives it.
        folder: where the files go; older files of the same names are replaced.
        names: figures to draw; all of them if None.
        formats: some of `FORMATS`.

    Raises:
        UsageError: an unknown figure or format, before anything is written; or a folder that cannot be
            written to.
    """
    chosen = [FIGURES[name] for name in dict.fromkeys(FIGURES if names is None else names)]
    for format_ in formats:
        if format_ not in FORMATS:
            raise UsageError(
                f"unknown format '{format_}'{nearest(format_, list(FORMATS))}; there are {', '.join(FORMATS)}"
            )
    outcomes: list[Saved | Skipped] = []
    for figure in chosen:
        with style():
            try:
                drawing = figure.draw(table)
            except NoDataError as error:
                outcomes.append(Skipped(figure.name, str(error)))
                continue
            outcomes.append(Saved(figure.name, write_drawing(drawing, folder, figure.name, formats)))
    return outcomes


def write_drawing(drawing: Drawing, folder: Path, name: str, formats: Sequence[str]) -> tuple[Path, ...]:
    """Write a drawing, in the `style` it was drawn in, to ``folder/<name>.<format>``, and return the paths.

    Raises:
        UsageError: the folder cannot be written to.
    """
    paths = tuple(folder / f"{name}.{format_}" for format_ in dict.fromkeys(formats))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            drawing.savefig(path, metadata=_METADATA[path.suffix[1:]])
    except OSError as error:
        raise UsageError(f"{folder}: cannot write figures there: {error.strerror or error}") from error
    return paths
