"""`lorafa-prof report`: a report and figures from stored results."""

from __future__ import annotations

from pathlib import Path

import click

from lorafa_prof.cli.countdown import Countdown
from lorafa_prof.cli.json_output import JsonOutput, json_option
from lorafa_prof.cli.options import PATH
from lorafa_prof.cli.say import put, say
from lorafa_prof.errors import UsageError

_ALL_FORMATS = "html,md,tex,png,pdf"
_FIGURE_FORMATS = "png,pdf"
_INCHES = click.FloatRange(1, 50)
_NO_TITLE = "none"


@click.command("report")
@click.argument("out", type=PATH)
@click.option(
    "--figure",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only this figure, and no report; may be repeated.",
)
@click.option(
    "--format",
    "formats",
    metavar="NAMES",
    help="Comma-separated: html, md, tex (the report), png, pdf, svg (the figures)  "
    f"[default: {_ALL_FORMATS}; with --figure {_FIGURE_FORMATS}]",
)
@click.option(
    "--style",
    "style_name",
    type=click.Choice(["paper", "two-columns", "slide"]),
    default="paper",
    show_default=True,
    help="Of figures: for one column of a paper, 3.5 inches wide, for two, 7.16, or for a slide, 16:9.",
)
@click.option("--width", type=_INCHES, metavar="INCHES", help="Of figures, instead of the style's.")
@click.option("--height", type=_INCHES, metavar="INCHES", help="Of figures, instead of as high as they need.")
@click.option(
    "--title",
    metavar="TEXT",
    help="Of figures, instead of their own; `none` for none, with all notes in the caption's file.",
)
@click.option(
    "--labels",
    "labels_file",
    type=PATH,
    metavar="FILE",
    help="YAML of what figures shall write instead of names, such as `lora-fa: LoRA-FA`.",
)
@click.option(
    "--axes", default="", metavar="AXES", help="Of figures: scales and limits, such as x=log,y=0:80."
)
@click.option("--dark", is_flag=True, help="Figures for a dark page.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=PATH,
    help="Where all files go  [default: the report to OUT, figures to OUT/figures]",
)
@json_option
def report_command(
    out: Path,
    names: tuple[str, ...],
    formats: str | None,
    style_name: str,
    width: float | None,
    height: float | None,
    title: str | None,
    labels_file: Path | None,
    axes: str,
    dark: bool,
    folder: Path | None,
    as_json: JsonOutput,
) -> None:
    """Write a report of a run, and its figures.

    OUT is the folder of its results. report.html is one file that needs no network, report.md is for pull
    requests, tables.tex for papers. Prints the path of every file written; what the report begins with, and
    what is missing or cannot be drawn, is told on stderr.
    """
    # pandas, matplotlib and jinja2 take a second to load: `--help` need not.
    from lorafa_prof.figures.kit.wishes import Wishes
    from lorafa_prof.figures.wished import axes_of, labels_of
    from lorafa_prof.report.write import write_report

    if formats is None:
        formats = _FIGURE_FORMATS if names else _ALL_FORMATS
    kinds = [part.strip() for part in formats.split(",") if part.strip()]
    if not kinds:
        raise UsageError("--format: no format given; write for example --format html")
    if title not in (None, _NO_TITLE) and len(names) != 1:
        raise UsageError("--title: a title is of one figure; name it with --figure, or write --title none")
    wishes = Wishes(
        width,
        height,
        "" if title == _NO_TITLE else title,
        labels_of(labels_file) if labels_file else {},
        axes_of(axes),
        ("dark",) if dark else ("light",),
    )
    with Countdown("drawing") as tell:
        written = write_report(
            out,
            kinds,
            folder=folder,
            figures=names or None,
            style_name=style_name,
            wishes=wishes,
            tell=tell,
        )
    for note in written.notes:
        say(f"note: {note}")
    if written.no_report:
        say(f"no report: {written.no_report}")
    for name, reason in written.not_drawn.items():
        say(f"{name}: not drawn: {reason}")
    if written.conclusion:
        say(f"in short: {written.conclusion}")
    for path in written.paths:
        put(path)
    as_json.give(
        {
            "conclusion": written.conclusion or None,
            "files": written.paths,
            "not_drawn": dict(written.not_drawn),
            "no_report": written.no_report or None,
            "notes": list(written.notes),
        }
    )
