"""Every axis of a scenario as an option: in the place of a scenario's file, or of what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic.fields import FieldInfo

from lorafa_prof.cli.options import PATH
from lorafa_prof.methods.low_rank_options import LowRankOptions
from lorafa_prof.scenario.schema import AXES, Scenario

_GIVEN = "lorafa_prof.given_axes"
_SAVE = "lorafa_prof.save"
_OTHERS = "lorafa_prof.options_of_other_methods"


class AxisOption(click.Option):
    """An axis, given once with commas or several times; `given_axes` has what was written."""


class CommandWithAxes(click.Command):
    """A command whose axes stand in a section of their own; it takes those of other methods' options too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; an option that the command itself has not may be one of a method."""
        known = {name for param in self.params for name in (*param.opts, *param.secondary_opts)}
        unknown = {arg.partition("=")[0] for arg in args if arg.startswith("--")} - {"--", "--help"} - known
        ctx.meta[_OTHERS] = _options_of_methods(unknown) if unknown else []
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own, and those of methods that were asked for."""
        return [*super().get_params(ctx), *ctx.meta.get(_OTHERS, [])]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the axes."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for title, of_axes in (("Options", False), ("Axes, each repeated or with commas", True)):
            shown = [option for option in options if isinstance(option, AxisOption) is of_axes]
            records = [option.get_help_record(ctx) for option in shown]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record is not None])


def axes_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """All axes, and ``--save``; what was given is `given_axes` and `save_file`."""
    click.option(
        "--save",
        type=PATH,
        metavar="FILE",
        expose_value=False,
        callback=_keep_save,
        help="Write the scenario that the axes make as a file, and go on.",
    )(command)
    scenario, of_methods = Scenario.model_fields, LowRankOptions.model_fields
    fields = {name: scenario[name] for name in ("model", "gpu", "method")}
    fields |= {**of_methods, **{name: scenario[name] for name in AXES}}
    for name, field in reversed(fields.items()):
        click.option(_written(name), name, cls=AxisOption, **_attributes(field))(command)
    return command


def given_axes() -> dict[str, Sequence[str]]:
    """What was written of axes, by name."""
    context = click.get_current_context(silent=True)
    return dict(context.meta.get(_GIVEN, {})) if context is not None else {}


def save_file() -> Path | None:
    """What ``--save`` says."""
    context = click.get_current_context(silent=True)
    file: Path | None = context.meta.get(_SAVE) if context is not None else None
    return file


def _keep(context: click.Context, option: click.Parameter, value: Sequence[str]) -> None:
    if value:
        context.meta.setdefault(_GIVEN, {})[option.name] = tuple(value)


def _keep_save(context: click.Context, option: click.Parameter, value: Path | None) -> None:
    context.meta[_SAVE] = value


def _options_of_methods(names: set[str]) -> list[AxisOption]:
    """Of these options those that some method has, which takes loading all methods."""
    from lorafa_prof.methods.base import METHODS

    fields = {name: field for each in METHODS.values() for name, field in each.options.model_fields.items()}
    return [
        AxisOption([_written(name), name], **_attributes(field))
        for name, field in fields.items()
        if _written(name) in names
    ]


def _written(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _attributes(field: FieldInfo) -> dict[str, Any]:
    """What click is told of an axis; one that is true or false may stand without a value."""
    default = None if field.is_required() else field.default
    default = default[0] if isinstance(default, list) else default
    told: dict[str, Any] = {"multiple": True, "expose_value": False, "callback": _keep, "metavar": "VALUE,…"}
    if isinstance(default, bool):
        told |= {"is_flag": False, "flag_value": "true", "metavar": "[true|false]"}
    # What is empty, or says nothing by itself, is in the description where it matters.
    shown = f"  [default: {str(default).lower()}]" if isinstance(default, (bool, int, float, str)) else ""
    return {**told, "help": f"{field.description or ''}{shown}"}
