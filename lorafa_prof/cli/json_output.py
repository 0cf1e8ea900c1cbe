"""``--json [FILE]``, the same of all commands that have no form of their own for it."""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from lorafa_prof.cli.forms import STDOUT, see_that_it_can_be_written, write_form

#: Keys are only added within a version.
SCHEMA_VERSION = 1


class JsonOutput:
    """Takes what a command has to say for machines.

    Args:
        target: a file's path, "-" for stdout, None for nowhere.
    """

    def __init__(self, target: str | None) -> None:
        self.target = target
        self._stdout = sys.stdout

    def give(self, content: Mapping[str, Any]) -> None:
        """Write `content`, of which what is not known is None; nothing where nobody asked for it."""
        self.give_bare({"schema_version": SCHEMA_VERSION, **content})

    def give_bare(self, content: Any) -> None:
        """The same without a version, of a command whose JSON never had one."""
        if self.target is None:
            return
        with redirect_stdout(self._stdout):
            text = json.dumps(_plain(content), indent=1, allow_nan=False)
            write_form("--json", self.target, f"{text}\n")


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--json [FILE]``, as `as_json`, a `JsonOutput`.

    With JSON on stdout, what people read goes to stderr.
    """

    @functools.wraps(command)
    def with_json(*args: Any, json_target: str | None, **options: Any) -> Any:
        output = JsonOutput(json_target)
        if json_target is not None:
            see_that_it_can_be_written("--json", json_target)
        with redirect_stdout(sys.stderr if json_target == STDOUT else sys.stdout):
            return command(*args, as_json=output, **options)

    return click.option(
        "--json",
        "json_target",
        is_flag=False,
        flag_value=STDOUT,
        metavar="[FILE]",
        help="Write JSON to a file, or to stdout if none is named.",
    )(with_json)


def _plain(value: Any) -> Any:
    """What JSON has: no infinity and no number that is none, which are not known, and no paths."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
