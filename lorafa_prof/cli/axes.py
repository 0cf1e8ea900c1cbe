"""Every axis of a scenario as an option: in the place of a scenario's file, or of what it says."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from lorafa_prof.cli.options import keep_axis, save_option

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_OTHERS = "lorafa_prof.options_of_other_methods"


class AxisOption(click.Option):
    """An axis, given once with commas or several times; `given_axes` has what was written."""


class CommandWithAxes(click.Command):
    """A command that takes every axis of a scenario as an option, in a section of their own, and ``--save``.

    It also takes options that only some methods have, others' too. What was given is `given_axes`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        save_option(self)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; an option that the command itself has not may be one of a method."""
        known = {name for param in self.get_params(ctx) for name in (*param.opts, *param.secondary_opts)}
        unknown = {arg.partition("=")[0] for arg in args if arg.startswith("--")} - known - {"--"}
        if unknown:
            ctx.meta[_OTHERS] = _options_of_methods(unknown)
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own, the axes, and options of methods that were asked for."""
        return [*super().get_params(ctx), *_axes(), *ctx.meta.get(_OTHERS, [])]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the axes."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for title, of_axes in (("Options", False), ("Axes, each repeated or with commas", True)):
            shown = [option for option in options if isinstance(option, AxisOption) is of_axes]
            records = [option.get_help_record(ctx) for option in shown]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record is not None])


@functools.cache
def _axes() -> list[AxisOption]:
    """Those of the schema, and the options that most methods have."""
    # Here, so that the help of all commands does without them.
    from lorafa_prof.methods.low_rank_options import LowRankOptions
    from lorafa_prof.scenario.schema import AXES, Scenario

    scenario = Scenario.model_fields
    first = {name: scenario[name] for name in ("model", "gpu", "method")}
    return _options({**first, **LowRankOptions.model_fields, **{name: scenario[name] for name in AXES}})


def _options_of_methods(names: set[str]) -> list[AxisOption]:
    """Of these options those that some method has, which takes loading all methods."""
    from lorafa_prof.methods.base import METHODS

    fields = {name: field for each in METHODS.values() for name, field in each.options.model_fields.items()}
    return _options({name: field for name, field in fields.items() if _written(name) in names})


def _options(fields: Mapping[str, FieldInfo]) -> list[AxisOption]:
    return [AxisOption([_written(name), name], **_attributes(field)) for name, field in fields.items()]


def _written(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _attributes(field: FieldInfo) -> dict[str, Any]:
    """What click is told of an axis; one that is true or false may stand without a value."""
    default = None if field.is_required() else field.default
    default = default[0] if isinstance(default, list) else default
    told: dict[str, Any] = {
        "multiple": True,
        "expose_value": False,
        "callback": keep_axis,
        "metavar": "VALUE,…",
    }
    if isinstance(default, bool):
        told |= {"is_flag": False, "flag_value": "true", "metavar": "[true|false]"}
    # What is empty, or says nothing by itself, is in the description where it matters.
    shown = f"  [default: {str(default).lower()}]" if isinstance(default, (bool, int, float, str)) else ""
    return {**told, "help": f"{field.description or ''}{shown}"}
