"""How much a metric may change before the change counts."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction

from lorafa_prof.errors import UsageError
from lorafa_prof.registry import nearest
from lorafa_prof.results.columns import METRICS, Column
from lorafa_prof.words.amounts import Number, parse_amount, plain
from lorafa_prof.words.numbers import shown
from lorafa_prof.words.phrases import listed

#: The metrics of which one direction is better, by name.
COMPARED: dict[str, Column] = {column.name: column for column in METRICS if column.better}
_UNITS = tuple(dict.fromkeys(column.unit for column in COMPARED.values() if column.unit))

_MIB = 1 << 20
#: Sums of storages, which no allocator rounds.
_SUMS_OF_STORAGES = ("weights_bytes", "gradients_bytes", "optimizer_bytes", "saved_bytes")
#: These depend on what else runs, and on the host's allocator.
_OF_THE_MACHINE = ("device_used_bytes", "host_rss_bytes")


@dataclass(frozen=True)
class Tolerance:
    """A change counts if it is more than `share` of the base and more than `floor`, in the metric's unit."""

    share: Fraction = Fraction(0)
    floor: Fraction = Fraction(0)

    def limit(self, base: Number) -> Fraction:
        """Return the largest change that does not count, in the metric's unit."""
        return max(self.share * abs(Fraction(base)), self.floor)

    def text(self, unit: str) -> str:
        """Return it as text: "5 %", "4.000 MiB", "5 % and 64.000 MiB", or "none"."""
        share = f"{float(self.share):.4%}".rstrip("0%").rstrip(".") + " %"
        floor = shown(plain(self.floor), unit)
        parts = [text for text, amount in ((share, self.share), (floor, self.floor)) if amount]
        return listed(parts) or "none"


@dataclass(frozen=True)
class GivenTolerance:
    """A value of ``--tolerance``: a share or a floor, for one metric, for those of one unit, or for all."""

    metric: str | None = None
    unit: str | None = None
    share: Fraction | None = None
    floor: Fraction | None = None

    def is_for(self, metric: Column) -> bool:
        """Return whether it applies to `metric`."""
        return self.metric in (None, metric.name) and self.unit in (None, metric.unit)

    def applied(self, tolerance: Tolerance) -> Tolerance:
        """Return `tolerance` with the given share or floor in the place of its own."""
        if self.share is not None:
            return replace(tolerance, share=self.share)
        return tolerance if self.floor is None else replace(tolerance, floor=self.floor)


def tolerance_of(metric: Column, *, on_cuda: bool, given: Iterable[GivenTolerance] = ()) -> Tolerance:
    """Return the tolerance of `metric`: the default, replaced by what is given, of which the last one counts.

    Args:
        metric: a metric of `COMPARED`.
        on_cuda: whether one of the sides was measured on a GPU.
        given: the user's tolerances in the order of the command line.
    """
    tolerance = _default(metric, on_cuda=on_cuda)
    for replacement in given:
        if replacement.is_for(metric):
            tolerance = replacement.applied(tolerance)
    return tolerance


def _default(metric: Column, *, on_cuda: bool) -> Tolerance:
    if metric.group in ("time", "energy") or metric.name == "mfu":
        return Tolerance(share=Fraction(5, 100))
    if metric.group == "fidelity":
        return Tolerance(share=Fraction(1, 100))  # of gradients, in whose sums GPUs differ from run to run
    if metric.name in _OF_THE_MACHINE:
        return Tolerance(share=Fraction(5, 100), floor=Fraction(64 * _MIB))
    if metric.group != "memory" or not on_cuda or metric.name in _SUMS_OF_STORAGES:
        return Tolerance()
    # With the same requests a GPU's allocated and reserved differ from run to run, by where the driver puts
    # segments: up to 2.4 MiB and 20 MiB were seen (docs/twin.md).
    return Tolerance(floor=Fraction((32 if metric.name == "peak_reserved_bytes" else 4) * _MIB))


def parse_tolerance(text: str) -> GivenTolerance:
    """Return the tolerance that a value of ``--tolerance`` gives.

    Values are such as ``1%``, ``4MiB``, ``peak_reserved_bytes=2%`` or ``activation_bytes=1MiB``.

    Raises:
        UsageError: an unknown metric or unit, no amount, or a negative one.
    """
    name, equals, amount = text.rpartition("=")
    metric = compared_metric(name.strip(), "--tolerance") if equals else None
    try:
        return _parse(amount.strip(), metric)
    except (OverflowError, ValueError) as error:
        raise UsageError(f"--tolerance {text}: {error}") from error


def compared_metric(name: str, option: str) -> Column:
    """Return the metric of this name.

    Raises:
        UsageError: there is none, or neither direction of it is better; the text names `option`.
    """
    if name in COMPARED:
        return COMPARED[name]
    if any(name == column.name for column in METRICS):
        raise UsageError(f"{option}: of {name}, neither more nor less is better: it cannot get worse")
    near = nearest(name, list(COMPARED))
    raise UsageError(f"{option}: unknown metric '{name}'{near}; `lorafa-prof list metrics` shows all")


def _parse(amount: str, metric: Column | None) -> GivenTolerance:
    name = metric.name if metric else None
    if amount.endswith("%"):
        return GivenTolerance(metric=name, share=_fraction(parse_amount(amount, "")))
    if metric is not None:
        return GivenTolerance(metric=name, floor=_fraction(parse_amount(amount, metric.unit)))
    if amount[-1:].isdigit():
        raise ValueError("of what? Write a share, such as 1%, or an amount with its unit, such as 4MiB")
    for unit in _UNITS:
        with suppress(ValueError):
            return GivenTolerance(unit=unit, floor=_fraction(parse_amount(amount, unit)))
    return GivenTolerance(floor=_fraction(parse_amount(amount, "bytes")))  # which says what is wrong with it


def _fraction(number: Number) -> Fraction:
    if number < 0:
        raise ValueError("a tolerance is not negative")
    return Fraction(str(number))
