"""Writing figures to files: the same table gives the same bytes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure as Drawing
from pandas import DataFrame

from lorafa_prof.errors import UsageError
from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.figure import Figure, NoDataError, RecordFigure
from lorafa_prof.figures.kit.dark import darken
from lorafa_prof.figures.kit.page import CaptionedDrawing, PageFullError
from lorafa_prof.figures.kit.style import PAGES, style
from lorafa_prof.figures.kit.wishes import NO_WISHES, Honoured, Wishes, current_wishes, wishing
from lorafa_prof.one_line import harmless
from lorafa_prof.registry import nearest
from lorafa_prof.results.files import write_atomically, writing
from lorafa_prof.results.records import Results, read_results
from lorafa_prof.running.progress_bar import Tell, tell_nobody
from lorafa_prof.words.latex import latex_text

FORMATS = ("png", "pdf", "svg")

# A date in a file would make every run's figures differ.
_METADATA: dict[str, dict[str, str | None]] = {
    "png": {},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}


@dataclass(frozen=True)
class SavedFigure:
    """A figure that was drawn, and its files.

    Attributes:
        captions: files with what belongs in its caption, as text and as LaTeX.
        caption: the same, sentence by sentence.
        honoured: which wishes it had a use for.
    """

    name: str
    paths: tuple[Path, ...]
    captions: tuple[Path, ...] = ()
    caption: tuple[str, ...] = ()
    honoured: Honoured = field(default_factory=Honoured, compare=False)


@dataclass(frozen=True)
class SkippedFigure:
    """A figure that was not drawn, and why."""

    name: str
    reason: str


def save_all(
    results: Results | DataFrame,
    folder: Path,
    names: Iterable[str] | None = None,
    formats: Sequence[str] = ("png", "pdf"),
    style_name: str = "paper",
    wishes: Wishes = NO_WISHES,
    tell: Tell = tell_nobody,
) -> list[SavedFigure | SkippedFigure]:
    """Draw figures of `results` into ``folder/<name>.<format>``; `folder` is made if need be.

    Beside each are ``<name>.txt`` and ``<name>.tex``, its caption: title, what all cells share, notes.

    Args:
        results: of a run; a table alone, as `read_table` gives it, has no records to draw from.
        folder: where the files go; older files of the same names are replaced.
        names: figures to draw; if None all but those `on_request`.
        formats: some of `FORMATS`.
        style_name: one of `PAGES`.
        wishes: what shall be otherwise than the style has it.
        tell: is told of each figure that is drawn.

    Raises:
        UsageError: an unknown figure, format or style, before anything is written; or a folder that cannot be
            written to.
    """
    known = results if isinstance(results, Results) else Results(results)
    chosen = [FIGURES[name] for name in names_of(names, known)]
    for format_ in formats:
        _check("format", format_, FORMATS)
    _check("style", style_name, tuple(PAGES))
    drawn = []
    for done, figure in enumerate(chosen):
        tell(done, len(chosen), figure.name)
        drawn.append(_save(figure, known, folder, formats, style_name, wishes))
    return [*drawn, *left_for_request(names)]


def draw_learning_figures(
    out: Path,
    formats: Sequence[str] = ("png", "pdf"),
    style_name: str = "paper",
    tell: Tell = tell_nobody,
) -> list[SavedFigure | SkippedFigure]:
    """Draw the figures of the learning runs in `out` into ``out/figures``; arguments as of `save_all`.

    Raises:
        NothingToJudgeError: there are no runs.
        UsageError: the folder cannot be read or written to.
    """
    names = [name for name in FIGURES if _of_learning(name)]
    return save_all(read_results(out), out / "figures", names, formats, style_name, tell=tell)


def names_of(names: Iterable[str] | None, results: Results) -> list[str]:
    """Each of `names` once; if None all but those on request, and of learning or of steps without any."""
    if names is not None:
        return list(dict.fromkeys(names))
    if results.has_learning and results.table.empty and results.verification is None:
        return [name for name in FIGURES if _of_learning(name)]
    return [
        name for name in FIGURES if not _on_request(name) and (results.has_learning or not _of_learning(name))
    ]


def left_for_request(names: Iterable[str] | None) -> list[SkippedFigure]:
    """The figures that wait to be asked for, where none was."""
    reason = "it runs steps again on the twin, so it is drawn only if asked for: --figure {}"
    return [
        SkippedFigure(name, reason.format(name)) for name in FIGURES if names is None and _on_request(name)
    ]


def _on_request(name: str) -> bool:
    figure = FIGURES[name]
    return isinstance(figure, RecordFigure) and figure.on_request


def _of_learning(name: str) -> bool:
    figure = FIGURES[name]
    return isinstance(figure, RecordFigure) and figure.of_learning


def _check(kind: str, name: str, there: Sequence[str]) -> None:
    if name not in there:
        raise UsageError(f"unknown {kind} '{name}'{nearest(name, list(there))}; there are {', '.join(there)}")


def _save(
    figure: Figure | RecordFigure,
    results: Results,
    folder: Path,
    formats: Sequence[str],
    style_name: str,
    wishes: Wishes,
) -> SavedFigure | SkippedFigure:
    """Draw one figure on the first page of the style that has room for it."""
    needs = ""
    for page in PAGES[style_name]:
        with wishing(wishes) as honoured, style(page):
            try:
                drawing = _drawn(figure, results)
            except PageFullError as error:
                needs = str(error)
                continue
            except NoDataError as error:
                return SkippedFigure(figure.name, str(error))
            paths = write_drawing(drawing, folder, figure.name, formats)
            caption = drawing.caption if isinstance(drawing, CaptionedDrawing) else ()
            captions = _write_caption(caption, folder, figure.name) if caption else ()
            return SavedFigure(figure.name, paths, captions, caption, honoured)
    if wishes.width is not None or wishes.height is not None:
        return SkippedFigure(figure.name, f"there is no room for it in the size asked for: {needs}")
    return SkippedFigure(
        figure.name,
        f"there is more to show than a {style_name} has room for; use --style paper, or fewer cells",
    )


def _write_caption(caption: Sequence[str], folder: Path, name: str) -> tuple[Path, ...]:
    """As text, and as LaTeX for ``\\input`` inside of a float."""
    written = " ".join(latex_text(sentence) for sentence in caption)
    texts = {
        "txt": "\n".join(map(harmless, caption)),
        "tex": f"\\caption{{{written}}}\n\\label{{fig:{name}}}",
    }
    paths = []
    with writing(folder):
        for ending, text in texts.items():
            paths.append(folder / f"{name}.{ending}")
            write_atomically(paths[-1], f"{text}\n".encode())
    return tuple(paths)


def _drawn(figure: Figure | RecordFigure, results: Results) -> Drawing:
    if isinstance(figure, RecordFigure):
        try:
            return figure.draw(results)
        except UsageError as error:  # a record that cannot be read is no reason to go without other figures
            raise NoDataError(str(error)) from error
    if results.table.empty:
        raise NoDataError("the results table has no rows")
    return figure.draw(results.table)


def write_drawing(drawing: Drawing, folder: Path, name: str, formats: Sequence[str]) -> tuple[Path, ...]:
    """Write a drawing, in the `style` it was drawn in, to ``folder/<name>.<format>``, and return the paths.

    Where it is wished for light pages and for dark ones, the latter's are ``folder/<name>-dark.<format>``.

    Raises:
        UsageError: the folder cannot be written to.
    """
    grounds = current_wishes().grounds
    paths: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for ground, format_ in itertools.product(grounds, dict.fromkeys(formats)):
            dark = ground == "dark"
            if dark and format_ == formats[0]:
                darken(drawing)
            path = folder / f"{name}{'-dark' if dark and len(grounds) > 1 else ''}.{format_}"
            drawn = (
                BytesIO()
            )  # first in memory: a full disk leaves the figure of before, not half of this one
            drawing.savefig(drawn, format=format_, metadata=_METADATA[format_])
            write_atomically(path, drawn.getvalue())
            paths.append(path)
    except OSError as error:
        raise UsageError(f"{folder}: cannot write figures there: {error.strerror or error}") from error
    return tuple(paths)
