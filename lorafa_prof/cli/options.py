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


class _Seconds(click.FloatRange):
    """Seconds; without a number, for ever."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, or one clear line."""
        try:
            return float(super().convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"'{value}' is no number of seconds; --wait without one stands last, or as --wait=inf")


def gpu_use_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--wait`` as `wait_s` and ``--share-gpu`` as `share_gpu`: what to do where others use the GPU."""
    wait = click.option(
        "--wait",
        "wait_s",
        type=_Seconds(min=0),
        is_flag=False,
        flag_value="inf",
        metavar="[SECONDS]",
        help="Wait for a GPU that other processes use, at most so long, instead of refusing it.",
    )
    share = click.option(
        "--share-gpu",
        is_flag=True,
        envvar="LORAFA_PROF_SHARE_GPU",
        help="Measure beside other processes on the GPU; the rows are marked.",
    )
    return wait(share(command))
