"""Writing the forms of a report, and its figures, to files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.figures.kit.wishes import NO_WISHES, Wishes
from lorafa_prof.figures.save import FORMATS, SavedFigure, SkippedFigure, left_for_request, names_of
from lorafa_prof.registry import nearest
from lorafa_prof.report.charts import CHARTED
from lorafa_prof.report.content import Content, content_of
from lorafa_prof.report.drawing import Outcomes, figures_beside
from lorafa_prof.report.html import html_report
from lorafa_prof.report.latex import latex_tables
from lorafa_prof.report.markdown import markdown_report
from lorafa_prof.report.pictures import pictures_of
from lorafa_prof.report.reading import read_source
from lorafa_prof.results.files import write_atomically, writing
from lorafa_prof.results.records import Results, read_known_results
from lorafa_prof.running.progress_bar import Tell, tell_nobody

#: The forms of a report, and their files.
REPORT_FILES = {"html": "report.html", "md": "report.md", "tex": "tables.tex"}


@dataclass(frozen=True)
class Written:
    """What came of a report.

    Attributes:
        paths: the files, those of the report before those of the figures.
        not_drawn: figures that were asked for as files but have no data, and why.
        no_report: why there is no report though one was asked for; empty where there is one.
        notes: what the reader of the report is told before all else, and wishes that no figure had a use for.
        conclusion: what the report begins with; empty without one.
    """

    paths: tuple[Path, ...]
    not_drawn: Mapping[str, str]
    no_report: str
    notes: tuple[str, ...]
    conclusion: str


def write_report(
    out: Path,
    formats: Sequence[str],
    *,
    folder: Path | None = None,
    figures: Sequence[str] | None = None,
    style_name: str = "paper",
    wishes: Wishes = NO_WISHES,
    tell: Tell = tell_nobody,
) -> Written:
    """Write a report of the results in `out`, and its figures.

    Args:
        out: what `lorafa-prof run` wrote.
        formats: some of `REPORT_FILES` and of the figures' `FORMATS`.
        folder: where all files go; None: the report to `out` and figures to ``out/figures``.
        figures: only these figures, and no report; None: all of them.
        style_name: of figures.
        wishes: of figures; the page has them in its own way.
        tell: is told of each figure that is drawn.

    Raises:
        UsageError: no such folder of results, an unknown format, figure or style, or a folder that cannot be
            written to.
        NothingToJudgeError: there are no results, or none that can be shown in what was asked for.
    """
    kinds = _kinds(formats, figures)
    forms = [form for form in REPORT_FILES if form in formats and figures is None]
    known = read_known_results(out)
    no_report = ""
    if known.results.table.empty:
        if forms and not known.results.has_learning:
            # Of `lorafa-prof verify` alone there are figures, but no cells.
            no_report, forms = "the results have no rows", []
        forms = [form for form in forms if form != "tex"]  # its tables are of steps
    place = folder or out / "figures"
    with figures_beside(known.results, place, figures, kinds, style_name, wishes, tell) as drawn:
        content = content_of(read_source(out, known)) if forms else None
        texts = {form: _text(form, content, known.results) for form in forms if content is not None}
        outcomes = drawn()
    paths = [*_write(texts, folder or out), *(path for each in outcomes for path in _paths(each))]
    if not paths:
        reasons = [
            no_report,
            *(f"{name} is not drawn: {reason}" for name, reason in _not_drawn(outcomes).items()),
        ]
        raise NothingToJudgeError(f"{out}: {'; '.join(filter(None, reasons))}")
    notes = [*(content.notes if content else ()), *_not_honoured(outcomes, wishes)]
    return Written(
        tuple(paths), _not_drawn(outcomes), no_report, tuple(notes), content.summary.first if content else ""
    )


def _kinds(formats: Sequence[str], figures: Sequence[str] | None) -> list[str]:
    known = [*REPORT_FILES, *FORMATS]
    for name in formats:
        if name not in known:
            raise UsageError(f"unknown format '{name}'{nearest(name, known)}; there are {', '.join(known)}")
    kinds = [name for name in formats if name in FORMATS]
    if figures is not None and not kinds:
        raise UsageError(f"--figure draws figures: give one of {', '.join(FORMATS)} as --format")
    return kinds


def _text(form: str, content: Content, results: Results) -> str:
    if form == "md":
        return markdown_report(content)
    if form == "tex":
        return latex_tables(content)
    names = [name for name in names_of(None, results) if name not in CHARTED]
    wishes = Wishes(grounds=("light", "dark"))
    with (
        TemporaryDirectory() as folder,
        figures_beside(results, Path(folder), names, ["png"], "paper", wishes) as pictured,
    ):
        drawn = pictured()
        pictures = pictures_of(drawn)
    return html_report(content, pictures, _not_drawn([*drawn, *left_for_request(None)]))


def _not_honoured(outcomes: Outcomes, wishes: Wishes) -> list[str]:
    """Labels that no figure had a use for, and figures that have no use for the axes asked for."""
    drawn = [outcome for outcome in outcomes if isinstance(outcome, SavedFigure)]
    used = {name for figure in drawn for name in figure.honoured.labels}
    texts = sorted({text for figure in drawn for text in figure.honoured.texts})
    labels = [
        f"--labels: no figure says '{name}'{nearest(name, texts)}"
        for name in wishes.labels
        if name not in used
    ]
    axes = [
        f"--axes: {figure.name} has no {name} axis that can be set"
        for figure in drawn
        for name in wishes.axes
        if name not in figure.honoured.axes
    ]
    return [*labels, *axes] if drawn else []


def _write(texts: Mapping[str, str], folder: Path) -> list[Path]:
    if texts:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for form, text in texts.items():
                # A record may hold half a character, which no file can.
                write_atomically(folder / REPORT_FILES[form], text.encode(errors="replace"))
    return [folder / REPORT_FILES[form] for form in texts]


def _paths(outcome: SavedFigure | SkippedFigure) -> tuple[Path, ...]:
    return (*outcome.paths, *outcome.captions) if isinstance(outcome, SavedFigure) else ()


def _not_drawn(outcomes: Outcomes) -> dict[str, str]:
    return {each.name: each.reason for each in outcomes if isinstance(each, SkippedFigure)}
