"""What a setting changes: the peak by its values, of cells that are alike in all else."""

from __future__ import annotations

from collections.abc import Sequence

from lorafa_prof.concluding.alike import setting, swept_groups
from lorafa_prof.concluding.conclusion import PEAK, SPEED, Conclusion, undisturbed
from lorafa_prof.concluding.naming import Naming, said, sentence
from lorafa_prof.figures.kit.points import Point, sort_key, varying
from lorafa_prof.words.numbers import shown, size
from lorafa_prof.words.phrases import first_of

#: So many settings, those that change the peak most, and so many values of one are told.
_MOST_SETTINGS, _MOST_VALUES = 3, 6

#: What people call a setting, where its name is not that.
_NAMES = {
    "where": "GPU",
    "seq": "sequence length",
    "quantization": "quantization of the base",
    "gpus": "number of GPUs",
}


def by_setting(points: Sequence[Point]) -> list[Conclusion]:
    """The settings that change the peak most, each by the group of cells with the largest peak."""
    naming = Naming.of(points)
    axes = [*(["model"] if naming.several_models else []), *varying(points)]
    groups = [(axis, group) for axis in axes if (group := _largest_group(points, axis))]
    groups.sort(key=lambda each: -_factor(each[1]))
    return [_told(axis, group, naming) for axis, group in groups[:_MOST_SETTINGS]]


def _largest_group(points: Sequence[Point], axis: str) -> list[Point]:
    """Of the groups that differ in this setting alone that with most values, then the largest peak."""
    finished = [point for point in points if undisturbed(point, PEAK) is not None]
    groups = swept_groups(finished, axis)
    return max(groups, key=lambda group: (len(group), max(map(_peak, group))), default=[])


def _told(axis: str, group: Sequence[Point], naming: Naming) -> Conclusion:
    numbers = all(isinstance(setting(point, axis), (int, float)) for point in group)
    ordered = sorted(
        group, key=lambda point: sort_key(setting(point, axis)) if numbers else (0, _peak(point), "")
    )
    values = [_value(point, axis, naming) for point in ordered]
    name = _NAMES.get(axis, axis.replace("_", " "))
    of = naming.cell(group[0], without=(axis,))
    text = sentence(f"Peak by {name}, of {of}: {first_of(values, _MOST_VALUES)}")
    return Conclusion("setting", text, tuple(point.cell_id for point in ordered))


def _value(point: Point, axis: str, naming: Naming) -> str:
    value = setting(point, axis)
    named = str(value) if axis != "where" else said(axis, value).removeprefix("on ")
    speed = undisturbed(point, SPEED)
    return f"{named}: {size(_peak(point))}" + (f" at {shown(speed, 'tokens/s')}" if speed is not None else "")


def _peak(point: Point) -> float:
    return undisturbed(point, PEAK) or 0.0


def _factor(group: Sequence[Point]) -> float:
    peaks = [_peak(point) for point in group]
    return max(peaks) / max(1.0, min(peaks))
