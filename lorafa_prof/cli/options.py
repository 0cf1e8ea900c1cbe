"""Options that several commands have, in the same words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def output_option(text: str) -> Decorator:
    """``-o``, the folder of the results, as `out`; `text` says what is in it and where it is by default."""
    return click.option("-o", "--output", "out", type=click.Path(path_type=Path), help=text)


def device_option(choices: str) -> Decorator:
    """``--device``; `choices` says what it may be."""
    return click.option("--device", help=f"Override the scenario's device: {choices}.")


set_option: Decorator = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the file, such as batch=4 or 'method[1].rank=[8, 64]'; may be repeated.",
)
cells_option: Decorator = click.option(
    "-k", "pattern", metavar="REGEX", help="Only cells whose id or label matches."
)
timeout_option: Decorator = click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), help="Seconds a cell may take."
)

stale_option: Decorator = click.option(
    "--stale",
    type=click.Choice(["again", "keep"]),
    default="again",
    show_default=True,
    help="Results of another model config, method, package or version: measure again, or keep.",
)
