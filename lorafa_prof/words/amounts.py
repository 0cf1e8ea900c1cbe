"""Amounts as people write them, "24 MiB" or "85 %", and as numbers in a metric's own unit."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from lorafa_prof.registry import nearest

Number = int | float

#: Units that may be written, by the unit that a column of the results has, and how many of it each is.
#: A ratio is a column without a unit.
UNITS: dict[str, dict[str, Fraction]] = {
    "bytes": {
        "B": Fraction(1),
        "bytes": Fraction(1),
        **{f"{prefix}B": Fraction(10**power) for prefix, power in zip("kMGT", (3, 6, 9, 12), strict=True)},
        "KB": Fraction(10**3),
        **{f"{prefix}iB": Fraction(2**power) for prefix, power in zip("KMGT", (10, 20, 30, 40), strict=True)},
    },
    "ms": {"us": Fraction(1, 1000), "ms": Fraction(1), "s": Fraction(1000)},
    "FLOP": {
        "FLOP": Fraction(1),
        **{f"{p}FLOP": Fraction(10**power) for p, power in zip("MGTP", (6, 9, 12, 15), strict=True)},
    },
    "points": {"points": Fraction(1), "point": Fraction(1), "%": Fraction(1)},
    "s": {"ms": Fraction(1, 1000), "s": Fraction(1), "min": Fraction(60), "h": Fraction(3600)},
    "nats": {"nats": Fraction(1), "nat": Fraction(1)},
    "": {"%": Fraction(1, 100)},
}
#: Commas and underscores divide thousands: "1,5" is no fifteen. Three digits of an exponent are too many.
_WRITTEN = re.compile(
    r"([+-]?[0-9]+(?:[_,][0-9]{3})*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?)(?![0-9_,.])\s*(.*)", re.DOTALL
)


def parse_amount(written: str | Number, unit: str) -> Number:
    """The number in `unit` that `written` means: a bare number is in `unit` already.

    Args:
        written: such as ``25165824``, ``"24 MiB"``, ``"1,024 B"`` or, of a ratio, ``0.85`` and ``"85 %"``.
        unit: a column's, such as "bytes", "ms" or "" for a ratio.

    Raises:
        ValueError: it is no amount, or in a unit that is not one of `unit`; the text is for people.
    """
    if isinstance(written, (int, float)):
        _check_finite(written)
        return written
    found = _WRITTEN.fullmatch(written.strip())
    if found is None:
        raise ValueError(f"'{written}' is no amount: write a number, or {_example(unit)}")
    amount = Fraction(re.sub("[_,]", "", found[1])) * _factor(found[2].strip(), unit)
    _check_finite(amount)
    return plain(amount)


def _check_finite(amount: Number | Fraction) -> None:
    try:
        finite = math.isfinite(amount)
    except OverflowError:
        raise ValueError("this is more than any amount") from None
    if not finite:
        raise ValueError(f"{amount} is no amount")


def exact(number: Number) -> Fraction:
    """The decimal fraction that `number` was written as: 0.1 is a tenth, as no float is."""
    return Fraction(str(number))


def plain(number: Fraction) -> Number:
    """`number` as an int where it is whole, else as the nearest float."""
    return int(number) if number.denominator == 1 else float(number)


def _factor(given: str, unit: str) -> Fraction:
    known = UNITS.get(unit, {})
    if given in ("", unit):
        return Fraction(1)
    if given in known:
        return known[given]
    takes = ", ".join(known) or unit
    what = "a ratio takes" if unit == "" else f"{unit} take"
    raise ValueError(f"unknown unit '{given}'{nearest(given, known)}; {what} {takes}")


def _example(unit: str) -> str:
    return {"bytes": "an amount such as '24 MiB'", "ms": "such as '120 ms'", "": "such as '85 %'"}.get(
        unit, f"a number of {unit}"
    )
