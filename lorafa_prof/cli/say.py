"""The one way from a command to the terminal: what others wrote never steers it."""

from __future__ import annotations

import shutil
import sys
from typing import TextIO

import click

from lorafa_prof.one_line import harmless_lines


def say(text: object = "", indent: str = "") -> None:
    """Say it on stderr, where people read what goes on.

    A terminal gets it broken between words, and what follows a break begins with `indent`.
    """
    click.echo(_broken(harmless_lines(str(text)), sys.stderr, indent), err=True)


def put(text: object = "") -> None:
    """Put it on stdout, as a line or lines of what was asked for."""
    click.echo(harmless_lines(str(text)))


def put_prose(text: str) -> None:
    """Put sentences on stdout; a terminal gets them broken between words."""
    click.echo(_broken(harmless_lines(text), sys.stdout))


def put_whole(text: str, *, on_stderr: bool = False) -> None:
    """Put a text as it is, colours too: its writer has seen to what is of others in it."""
    click.echo(text, nl=False, err=on_stderr)


def _broken(text: str, stream: TextIO, indent: str = "") -> str:
    if not stream.isatty():
        return text
    from lorafa_prof.words.terminal import wrapped

    return wrapped(text, shutil.get_terminal_size().columns, indent)
