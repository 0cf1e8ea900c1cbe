"""The forms in which commands that judge tell their outcome: on the terminal, and as files for machines."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lorafa_prof.cli.forms import STDOUT, see_that_it_can_be_written, write_form
from lorafa_prof.cli.say import put_whole
from lorafa_prof.errors import UsageError

if TYPE_CHECKING:
    from lorafa_prof.claims.finding import Judgement


@dataclass(frozen=True)
class Outputs:
    """Where the forms go: a file's path, "-" for stdout, None for nowhere.

    With one of them on stdout, what people read goes to stderr.

    Attributes:
        annotations: whether GitHub's workflow commands are printed, where what people read goes.
    """

    markdown: str | None = None
    junit: str | None = None
    json: str | None = None
    annotations: bool = False

    @property
    def targets(self) -> dict[str, str]:
        """Where what goes, by the name of its option."""
        given = {"--markdown": self.markdown, "--junit": self.junit, "--json": self.json}
        return {option: target for option, target in given.items() if target is not None}


def judgement_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options for the outputs of a command, which gets them as `outputs`, an `Outputs`.

    Files that cannot be written are found before the command starts, so that nothing judged is lost.
    """

    @functools.wraps(command)
    def with_outputs(
        *args: Any,
        markdown: str | None,
        junit: str | None,
        json: str | None,
        annotations: bool,
        **options: Any,
    ) -> Any:
        outputs = Outputs(markdown, junit, json, annotations)
        _see_that_it_can_be_written(outputs)
        return command(*args, outputs=outputs, **options)

    for option in (
        click.option(
            "--annotations", is_flag=True, help="Print GitHub's annotations for what does not hold."
        ),
        click.option(
            "--json",
            is_flag=False,
            flag_value=STDOUT,
            metavar="[FILE]",
            help="Write everything as JSON to a file, or to stdout if none is named.",
        ),
        click.option("--junit", metavar="FILE", help="Write JUnit XML, for any CI; - for stdout."),
        click.option("--markdown", metavar="FILE", help="Write Markdown, for a pull request; - for stdout."),
    ):
        with_outputs = option(with_outputs)
    return with_outputs


def tell(judgements: Sequence[Judgement] | Judgement, outputs: Outputs) -> None:
    """Print what was judged, for people, and write the forms asked for.

    Raises:
        UsageError: a file cannot be written after all; everything else is told.
    """
    from lorafa_prof.claims.finding import Judgement
    from lorafa_prof.claims.reporters.annotations import workflow_commands
    from lorafa_prof.claims.reporters.json_report import json_report
    from lorafa_prof.claims.reporters.junit import junit
    from lorafa_prof.claims.reporters.markdown import markdown
    from lorafa_prof.claims.reporters.terminal import terminal

    told = (judgements,) if isinstance(judgements, Judgement) else tuple(judgements)
    on_stderr = STDOUT in outputs.targets.values()
    put_whole(terminal(told, width=_terminal_width(on_stderr)), on_stderr=on_stderr)
    if outputs.annotations:
        # GitHub's paths start at the repository's root, wherever in it the command runs.
        root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
        put_whole(workflow_commands(told, root), on_stderr=on_stderr)
    forms = {"--markdown": markdown, "--junit": junit, "--json": json_report}
    failed = [
        error
        for option, target in outputs.targets.items()
        if (error := _write(option, target, forms[option](told))) is not None
    ]
    if failed:
        raise failed[0]


def _terminal_width(on_stderr: bool) -> int | None:
    stream = sys.stderr if on_stderr else sys.stdout
    if not stream.isatty():
        return None
    from rich.console import Console

    return Console(file=stream).width


def _write(option: str, target: str, text: str) -> UsageError | None:
    """Write one form; what is wrong with its file, so that the others are still written."""
    try:
        write_form(option, target, text)
    except UsageError as error:
        return error
    return None


def _see_that_it_can_be_written(outputs: Outputs) -> None:
    """Make the files' folders.

    Raises:
        UsageError: a file cannot be written, or two forms go to the same place.
    """
    taken: dict[str, str] = {}
    for option, target in outputs.targets.items():
        if target in taken:
            raise UsageError(f"{taken[target]} and {option} both go to '{target}'; choose another for one")
        taken[target] = option
        see_that_it_can_be_written(option, target)
