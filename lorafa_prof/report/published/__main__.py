"""``python -m lorafa_prof.report.published FOLDER``: write what a folder of published numbers has to show."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.one_line import harmless
from lorafa_prof.report.published.explained import write_explained
from lorafa_prof.report.published.figures import draw_figures
from lorafa_prof.report.published.folder import PublishedFolder, read_folder
from lorafa_prof.report.published.page import write_page
from lorafa_prof.report.published.picture import draw_picture

#: In this order, since the page links to figures that are there. Each gives lines for people.
STEPS: dict[str, Callable[[PublishedFolder], Iterable[str]]] = {
    "figures": draw_figures,
    "page": write_page,
    "picture": draw_picture,
    "explained": write_explained,
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("steps", nargs=-1, type=click.Choice(list(STEPS)))
def command(folder: Path, steps: tuple[str, ...]) -> None:
    """Set the published numbers of FOLDER beside the results in it; with STEPS, do only these.

    figures: the figures that README.md links to, of what was measured. page: README.md's tables. picture:
    published.png and .pdf. explained: explained.csv, a few minutes for a hundred cells. No GPU is needed.
    """
    published = read_folder(folder)
    for name, work in STEPS.items():
        if not steps or name in steps:
            for line in work(published):
                click.echo(harmless(line))


if __name__ == "__main__":
    try:
        command(prog_name="python -m lorafa_prof.report.published")
    except LorafaProfError as error:
        click.echo(f"lorafa-prof: {error}", err=True)
        sys.exit(error.exit_code)
