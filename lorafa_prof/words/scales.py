"""One unit for many values: of an axis, or of a column that names it in its header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Values are shown divided by `divisor`, in `unit`."""

    divisor: float
    unit: str

    def text(self, value: float) -> str:
        """`value` in the unit, which is named elsewhere."""
        return f"{value / self.divisor:,.3f}"


#: Binary units of bytes, the largest first.
TIB, GIB, MIB, KIB, BYTES = (
    Scale(2.0**power, unit) for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB"), (0, "B"))
)
_FLOP_UNITS = tuple(
    Scale(10.0**power, f"{prefix}FLOP")
    for power, prefix in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (0, ""))
)


def bytes_scale(largest: float) -> Scale:
    """The largest binary unit, GiB at most, in which `largest` bytes are 1 or more."""
    return _first_fit((GIB, MIB, KIB, BYTES), largest)


def flop_scale(largest: float) -> Scale:
    """The largest decimal unit in which `largest` FLOP are 1 or more."""
    return _first_fit(_FLOP_UNITS, largest)


def seconds_scale(largest: float) -> Scale:
    """The largest of hours, minutes and seconds in which so many seconds are 2 or more."""
    return _first_fit((Scale(3600.0, "h"), Scale(60.0, "min"), Scale(1.0, "s")), largest / 2)


def tokens_scale(largest: float) -> Scale:
    """Tokens per second, never scaled: readers compare them with published numbers."""
    del largest
    return Scale(1.0, "tokens/s")


def samples_scale(largest: float) -> Scale:
    """Samples are counted."""
    del largest
    return Scale(1.0, "samples")


def _first_fit(scales: Sequence[Scale], largest: float) -> Scale:
    return next((scale for scale in scales if largest >= scale.divisor), scales[-1])
