"""How numbers are said, each in a unit of its own: sizes, amounts, changes, percentages."""

from __future__ import annotations

from itertools import pairwise

from lorafa_prof.words.amounts import Number
from lorafa_prof.words.scales import BYTES, GIB, KIB, MIB, TIB, Scale, flop_scale

#: From here on three decimals round to a thousand, which is said in the next unit.
_A_THOUSAND = 999.9995


def size(nbytes: Number) -> str:
    """Bytes in the binary unit that leaves less than a thousand of it: "0.986 GiB", "512 B"."""
    return _said(nbytes, _size_unit(nbytes))


def size_change(nbytes: Number) -> str:
    """A difference in bytes, with its sign: "+0.986 GiB"."""
    return _with_sign(size(nbytes), nbytes)


def size_or_dash(nbytes: object) -> str:
    """`size`, or a dash where it is not known."""
    return size(nbytes) if isinstance(nbytes, int | float) else "-"


def shown(amount: Number, unit: str) -> str:
    """An amount in a column's unit, in one that suits its size."""
    if unit == "bytes":
        return size(amount)
    if unit == "FLOP":
        return _said(amount, flop_scale(abs(amount)))
    if isinstance(amount, int):
        text = f"{amount:,}"
    else:
        text = f"{amount:,.4g}" if abs(amount) < 1e4 else f"{amount:,.0f}"
    return f"{text} {unit}".rstrip()


def shown_change(amount: Number, unit: str) -> str:
    """A difference of such amounts, with its sign, and exact where it is in bytes."""
    text = _with_sign(shown(amount, unit), amount)
    if unit == "bytes" and abs(amount) >= _A_THOUSAND and float(amount).is_integer():
        return f"{text} ({signed(int(amount))} B)"
    return text


def signed(number: int) -> str:
    """Every digit of a difference, with its sign: "+1,024", "0"."""
    return f"{number:+,}" if number else "0"


def percent(share: float, digits: int = 1) -> str:
    """A share as "85.0 %"."""
    return f"{100 * share:,.{digits}f} %"


def percent_change(share: float, digits: int = 1) -> str:
    """A relative change as "+8.5 %"."""
    return f"{100 * share:+,.{digits}f} %"


def three_digits(value: float) -> str:
    """Three significant digits, more for whole numbers of more digits: 0.0512, 5.91, 42.5, 12,250."""
    if value == 0:
        return "0"
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    if abs(value) >= 9.995:
        return f"{value:.1f}"
    if abs(value) >= 0.9995:
        return f"{value:.2f}"
    return f"{value:.2g}"


def _size_unit(nbytes: Number) -> Scale:
    units = pairwise((TIB, GIB, MIB, KIB, BYTES))
    return next((unit for unit, smaller in units if abs(nbytes) >= _A_THOUSAND * smaller.divisor), BYTES)


def _said(amount: Number, scale: Scale) -> str:
    """The amount and its unit; of what is not scaled no more decimals than it has."""
    if scale.divisor > 1:
        text = scale.text(amount)
    elif float(amount).is_integer():
        text = f"{amount:,.0f}"
    else:
        text = f"{amount:,.2f}" if abs(amount) >= 1 else f"{amount:.3g}"
    return f"{text} {scale.unit}"


def _with_sign(text: str, number: Number) -> str:
    return f"+{text}" if number > 0 else text
