"""Cells that did not finish: which ran out of memory, and where, and which failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lorafa_prof.concluding.conclusion import Conclusion
from lorafa_prof.concluding.naming import Naming, gpu_name, method_name, sentence
from lorafa_prof.figures.kit.points import Point
from lorafa_prof.words.phrases import count, first_of

_MOST_NAMED = 3
_FAILED = {"error": "failed with an error", "timeout": "took too long", "skipped": "was skipped"}


def out_of_memory(points: Sequence[Point]) -> list[Conclusion]:
    """What ran out of memory, by method, in one conclusion."""
    lost = [point for point in points if point.status == "oom"]
    if not lost:
        return []
    gpus = list(dict.fromkeys(gpu_name(point) for point in lost))
    on = f" on the {gpus[0]}" if len(gpus) == 1 else ""
    methods = "; ".join(_by_method(points, Naming.of(points)))
    text = sentence(f"{_of_all(lost, points)} ran out of memory{on}: {methods}")
    return [Conclusion("out of memory", text, _ids(lost))]


def failed(points: Sequence[Point]) -> list[Conclusion]:
    """What has no result for another reason."""
    naming = Naming.of(points)
    found = []
    for status, words in _FAILED.items():
        lost = [point for point in points if point.status == status]
        if lost:
            named = first_of([naming.cell(point) for point in lost], _MOST_NAMED, between="; ")
            text = sentence(f"{_of_all(lost, points)} {words}: {named}")
            found.append(Conclusion("failed", text, _ids(lost)))
    return found


def _by_method(points: Sequence[Point], naming: Naming) -> Iterator[str]:
    for method in dict.fromkeys(point.method for point in points if point.status == "oom"):
        of = [point for point in points if point.method == method]
        lost = [point for point in of if point.status == "oom"]
        name = method_name(method)
        settings = [text for point in lost if (text := naming.settings(point))]
        if len(lost) == len(of) > 1:
            yield f"all of {name}"
        elif settings:
            yield f"{name} ({first_of(settings, _MOST_NAMED, between='; ')})"
        else:
            yield name


def _of_all(some: Sequence[Point], points: Sequence[Point]) -> str:
    return "the cell" if len(points) == 1 else f"{len(some):,} of {count(len(points), 'cell')}"


def _ids(points: Sequence[Point]) -> tuple[str, ...]:
    return tuple(point.cell_id for point in points)
