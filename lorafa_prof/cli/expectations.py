"""What `lorafa-prof check` expects of axes that no file has: claims as options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from lorafa_prof.errors import UsageError

if TYPE_CHECKING:
    from lorafa_prof.scenario.overrides import Override

_BOUNDS = {"at_most": "--at-most", "at_least": "--at-least"}


def expectation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--at-most`` and ``--at-least``, as `at_most` and `at_least`."""
    for bound, option in reversed(_BOUNDS.items()):
        command = click.option(
            option,
            bound,
            multiple=True,
            metavar="METRIC=AMOUNT",
            help=f"Of axes without a file, and of profiles: expect {option[2:].replace('-', ' ')} this, "
            "such as peak_reserved_bytes=24GiB  [default: that each step fits]",
        )(command)
    return command


def claims_of(at_most: Sequence[str], at_least: Sequence[str]) -> Override:
    """The claims that are expected; of nothing that is, that each step fits.

    Raises:
        UsageError: one is not of the form METRIC=AMOUNT.
    """
    from lorafa_prof.scenario.overrides import Override

    given = [
        (bound, text) for bound, texts in zip(_BOUNDS, (at_most, at_least), strict=True) for text in texts
    ]
    if not given:
        return Override(("claims",), [{"name": "it fits", "metric": "fits", "equals": True}], "check")
    written = " ".join(f"{_BOUNDS[bound]} {text}" for bound, text in given)
    return Override(("claims",), [_claim(bound, text) for bound, text in given], written)


def _claim(bound: str, text: str) -> dict[str, Any]:
    metric, equals, amount = (part.strip() for part in text.partition("="))
    if not (metric and equals and amount):
        raise UsageError(
            f"{_BOUNDS[bound]} {text}: write METRIC=AMOUNT, such as peak_reserved_bytes=24GiB; "
            "`lorafa-prof list metrics` shows all metrics"
        )
    return {"name": f"{metric} {bound.replace('_', ' ')} {amount}", "metric": metric, bound: amount}
