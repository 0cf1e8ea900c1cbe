"""The one way from a command to the terminal: what others wrote never steers it."""

from __future__ import annotations

import click

from lorafa_prof.one_line import harmless_lines


def say(text: object = "") -> None:
    """Say it on stderr, where people read what goes on."""
    click.echo(harmless_lines(str(text)), err=True)


def put(text: object = "") -> None:
    """Put it on stdout, as a line or lines of what was asked for."""
    click.echo(harmless_lines(str(text)))


def put_whole(text: str, *, on_stderr: bool = False) -> None:
    """Put a text as it is, colours too: its writer has seen to what is of others in it."""
    click.echo(text, nl=False, err=on_stderr)
