"""Wishes as they are written: axes on the command line, labels in a file."""

from __future__ import annotations

import math
from pathlib import Path

from lorafa_prof.errors import UsageError
from lorafa_prof.figures.kit.wishes import AxisWish
from lorafa_prof.scenario.yaml_data import YamlProblemError, parse_yaml

_SCALES = {"log": True, "linear": False}


def axes_of(text: str) -> dict[str, AxisWish]:
    """Axes from ``x=log,y=0:80``: a scale, or limits in the unit that the axis shows.

    Raises:
        UsageError: it says something else.
    """
    wishes: dict[str, AxisWish] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, sign, value = (piece.strip() for piece in part.partition("="))
        if not sign or name not in ("x", "y"):
            raise _wrong_axes(part)
        before = wishes.get(name, AxisWish())
        if value in _SCALES:
            wishes[name] = AxisWish(_SCALES[value], before.limits)
        else:
            wishes[name] = AxisWish(before.logarithmic, _limits(value, part))
    for name, wish in wishes.items():
        if wish.logarithmic and wish.limits and wish.limits[0] <= 0:
            raise UsageError(f"--axes: a logarithmic {name} axis cannot start at {wish.limits[0]:g}")
    return wishes


def _limits(value: str, part: str) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in value.split(":"))
    except ValueError:
        raise _wrong_axes(part) from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"--axes: '{part}' has no room between its ends")
    return low, high


def _wrong_axes(part: str) -> UsageError:
    return UsageError(f"--axes: '{part}' is none; write for example x=log,y=0:80")


def labels_of(file: Path) -> dict[str, str]:
    """Labels from a YAML or JSON file of names and what to write for them.

    Raises:
        UsageError: it cannot be read, or is something else.
    """
    try:
        data, _ = parse_yaml(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except YamlProblemError as error:
        raise UsageError(f"{file}: {error}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{file}: write names and their labels, such as `lora-fa: LoRA-FA`")
    wrong = [key for key, value in data.items() if not (isinstance(key, str) and isinstance(value, str))]
    if wrong:
        raise UsageError(f"{file}: the label of '{wrong[0]}' is no text")
    return data
