"""Limits on a profile's bytes, and what a test that breaks one says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lorafa_prof.errors import UsageError
from lorafa_prof.profiling.tensors_table import table_of
from lorafa_prof.words.amounts import parse_amount
from lorafa_prof.words.numbers import size
from lorafa_prof.words.phrases import listed

if TYPE_CHECKING:
    from lorafa_prof.profiling.result import Profile

What = Literal["activation", "saved", "peak"]


@dataclass(frozen=True)
class Limit:
    """At most so many bytes of `what`."""

    what: What
    at_most_bytes: int

    def of(self, profile: Profile) -> int:
        """The bytes that it limits."""
        return int(getattr(profile, f"{self.what}_bytes"))


def limit_of(what: What, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Limit:
    """The limit that a mark with these arguments sets.

    Raises:
        UsageError: they are not one amount.
    """
    name = f"limit_{what}"
    if len(args) != 1 or kwargs or isinstance(args[0], bool) or not isinstance(args[0], (str, int, float)):
        given = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
        raise UsageError(f'{name}({given}): it takes one amount, such as {name}("24 MiB")')
    try:
        at_most_bytes = parse_amount(args[0], "bytes")
    except ValueError as error:
        raise UsageError(f"{name}({args[0]!r}): {error}") from error
    if at_most_bytes < 0:
        raise UsageError(f"{name}({args[0]!r}): a limit is not below 0")
    return Limit(what, math.floor(at_most_bytes))


def broken(limits: Sequence[Limit], profiles: Sequence[Profile]) -> str | None:
    """What a test has to say whose profiles break a limit, or that has none; None if all is well."""
    if not profiles:
        names = listed(f"limit_{limit.what}" for limit in limits)
        return f"{names}: the test measured nothing; call memory.profile(step) with the fixture `memory`"
    told = []
    for number, profile in enumerate(profiles, start=1):
        exceeded = [limit for limit in limits if limit.of(profile) > limit.at_most_bytes]
        if exceeded:
            which = f", profile {number} of {len(profiles)}" if len(profiles) > 1 else ""
            lines = [line for limit in exceeded for line in _lines(limit, profile, which)]
            told.append("\n".join([*lines, "", table_of(profile.tensors)]))
    return "\n\n".join(told) or None


def _lines(limit: Limit, profile: Profile, which: str) -> list[str]:
    measured, allowed = limit.of(profile), limit.at_most_bytes
    more = measured - allowed
    return [
        f"{limit.what} {size(measured)} > limit {size(allowed)} on {profile.device}{which}",
        f"  {size(more)} too much: {measured:,} B measured, {allowed:,} B allowed",
        *_parts(limit.what, profile),
    ]


def _parts(what: What, profile: Profile) -> list[str]:
    """What the measured bytes are made of, where it is more than the saved tensors."""
    if what == "saved":
        return []
    saved = profile.saved_bytes or 0
    lines = [f"  {size(saved)} of it are saved for backward"]
    if what == "activation":
        rest, is_what = (
            (profile.activation_bytes or 0) - saved,
            "held otherwise: results, what blocks have left over",
        )
    else:
        rest, is_what = (
            (profile.peak_bytes or 0) - saved,
            "temporary, or gradients and state that the step makes",
        )
    if rest > 0:
        lines.append(f"  {size(rest)} are {is_what}")
    return lines
