"""Units of an axis, chosen by the largest value on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Values are drawn divided by `divisor`, in `unit`."""

    divisor: float
    unit: str


_BYTES = (Scale(2.0**30, "GiB"), Scale(2.0**20, "MiB"), Scale(2.0**10, "KiB"), Scale(1.0, "bytes"))
_FLOP = (
    Scale(1e15, "PFLOP"),
    Scale(1e12, "TFLOP"),
    Scale(1e9, "GFLOP"),
    Scale(1e6, "MFLOP"),
    Scale(1.0, "FLOP"),
)


def bytes_scale(largest: float) -> Scale:
    """The largest binary unit, GiB (2^30 bytes) at most, in which `largest` bytes are 1 or more."""
    return _first_fit(_BYTES, largest)


def flop_scale(largest: float) -> Scale:
    """The largest decimal unit in which `largest` FLOP are 1 or more."""
    return _first_fit(_FLOP, largest)


def tokens_scale(largest: float) -> Scale:
    """Tokens per second, never scaled: readers compare them with published numbers."""
    del largest
    return Scale(1.0, "tokens/s")


def samples_scale(largest: float) -> Scale:
    """Samples are counted."""
    del largest
    return Scale(1.0, "samples")


def _first_fit(scales: tuple[Scale, ...], largest: float) -> Scale:
    return next((scale for scale in scales if largest >= scale.divisor), scales[-1])


def size_text(size_bytes: float) -> str:
    """Bytes in words, with three significant digits: 42.5 GiB."""
    scale = bytes_scale(size_bytes)
    return f"{size_bytes / scale.divisor:,.3g} {scale.unit}"


def number(value: float) -> str:
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
