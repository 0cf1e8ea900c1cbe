"""Options that several commands have, in the same words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _NamedPath(click.Path):
    """A path of at least one character: the empty one would be the folder one stands in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty; write . for the folder you are in", param, ctx)
        return super().convert(value, param, ctx)


PATH = _NamedPath(path_type=Path)


def output_option(text: str) -> Decorator:
    """``-o``, the folder of the results, as `out`; `text` says what is in it and where it is by default."""
    return click.option("-o", "--output", "out", type=PATH, help=text)


def device_option(choices: str) -> Decorator:
    """``--device``; `choices` says what it may be."""
    return click.option("--device", help=f"Override the scenario's device: {choices}.")


_MAX_CELLS = "lorafa_prof.max_cells"
_GIVEN_AXES = "lorafa_prof.given_axes"
_SAVE = "lorafa_prof.save"

_set_option: Decorator = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the file, such as batch=4 or 'method[1].rank=[8, 64]'; may be repeated.",
)


def _keep_max_cells(context: click.Context, option: click.Parameter, value: int | None) -> None:
    context.meta[_MAX_CELLS] = value


_max_cells_option: Decorator = click.option(
    "--max-cells",
    type=click.IntRange(min=1),
    expose_value=False,
    callback=_keep_max_cells,
    help="So many cells the file's axes may make  [default: 10,000]",
)


def max_cells() -> int | None:
    """What ``--max-cells`` says; None where it was not given."""
    context = click.get_current_context(silent=True)
    given: int | None = context.meta.get(_MAX_CELLS) if context is not None else None
    return given


def set_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--set``, as `overrides`, and ``--max-cells``, which is `max_cells`: of all that take a scenario."""
    decorated: Callable[..., Any] = _set_option(_max_cells_option(command))
    return decorated


def keep_axis(context: click.Context, option: click.Parameter, value: Sequence[str]) -> None:
    """What an axis's option does, so that it is one of `given_axes`."""
    if value:
        context.meta.setdefault(_GIVEN_AXES, {})[option.name] = tuple(value)


def given_axes() -> dict[str, tuple[str, ...]]:
    """What was written of axes, by name, as often as it was; empty of a command that takes none."""
    context = click.get_current_context(silent=True)
    return dict(context.meta.get(_GIVEN_AXES, {})) if context is not None else {}


def _keep_save(context: click.Context, option: click.Parameter, value: Path | None) -> None:
    context.meta[_SAVE] = value


save_option: Decorator = click.option(
    "--save",
    type=PATH,
    metavar="FILE",
    expose_value=False,
    callback=_keep_save,
    help="Write the scenario that the axes make as a file, and go on.",
)


def save_file() -> Path | None:
    """What ``--save`` says."""
    context = click.get_current_context(silent=True)
    file: Path | None = context.meta.get(_SAVE) if context is not None else None
    return file


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


stale_option: Decorator = click.option(
    "--stale",
    type=click.Choice(["again", "keep"]),
    default="again",
    show_default=True,
    help="Results of another model config, method, package or version: measure again, or keep.",
)

marked_option: Decorator = click.option(
    "--marked",
    type=click.Choice(["refuse", "keep"]),
    default="refuse",
    show_default=True,
    help="Values measured beside others, with lowered clocks or allocator retries: do not judge, or judge.",
)
