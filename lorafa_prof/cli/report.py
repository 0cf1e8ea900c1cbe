"""`lorafa-prof report`: figures from stored results."""

from __future__ import annotations

from pathlib import Path

import click

from lorafa_prof.errors import NothingToJudgeError, UsageError


@click.command("report")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--figure", "names", multiple=True, metavar="NAME", help="Only this figure; may be repeated.")
@click.option(
    "--format", "formats", default="png,pdf", show_default=True, help="Comma-separated: png, pdf, svg."
)
@click.option(
    "--style",
    "style_name",
    type=click.Choice(["paper", "slide"]),
    default="paper",
    show_default=True,
    help="For a column of a paper, 3.5 inches wide, or for a slide, 16:9 in large letters.",
)
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    help="Where figures go  [default: OUT/figures]",
)
def report_command(
    out: Path, names: tuple[str, ...], formats: str, style_name: str, folder: Path | None
) -> None:
    """Draw figures from the results in the folder OUT.

    Prints the path of every file written; figures that cannot be drawn are named on stderr with the reason.
    """
    # pandas and matplotlib take a second to load: `--help` need not.
    from lorafa_prof.figures.save import Saved, save_all
    from lorafa_prof.results.records import read_results
    from lorafa_prof.running.store import Store

    kinds = [part.strip() for part in formats.split(",") if part.strip()]
    if not kinds:
        raise UsageError("--format: no format given; write for example --format png,pdf")
    results = read_results(out, Store(out).load)
    outcomes = save_all(results, folder or out / "figures", names or None, kinds, style_name)
    for outcome in outcomes:
        if isinstance(outcome, Saved):
            for path in outcome.paths:
                click.echo(path)
        else:
            click.echo(f"{outcome.name}: not drawn: {outcome.reason}", err=True)
    if not any(isinstance(outcome, Saved) for outcome in outcomes):
        raise NothingToJudgeError(f"{out}: its results hold nothing that any figure asked for can show")
