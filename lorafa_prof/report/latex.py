"""A report's tables for papers of one column or two: booktabs, methods in rows, what was swept in columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lorafa_prof.figures.kit.points import (
    METHOD_SETTINGS,
    SETTINGS,
    Point,
    Setting,
    differing,
    named,
    phrases,
    sort_key,
)
from lorafa_prof.report.content import Content
from lorafa_prof.results.marks import meanings
from lorafa_prof.words.latex import latex_text
from lorafa_prof.words.scales import bytes_scale

#: So many lines fit on a page.
_MOST_LINES = 45
#: Points: one of two columns, as narrow as they are in use, and both of them.
_COLUMN, _BOTH = 235.0, 487.0
#: Points of a character of 8-point type, a little more than a digit has, and beside each column.
_CHARACTER, _SEPARATION = 4.4, 3.0
#: LaTeX puts so many tables off before it gives up; then they must be set.
_MOST_FLOATS = 15

#: Settings that may stand in columns, the first that differs.
_IN_COLUMNS = ("seq", "batch", "accumulation")
#: Settings that a line names beside the method, those that differ.
_IN_LINES = (*METHOD_SETTINGS, "checkpointing", "kernels")

_HEAD = """\
% Written by `lorafa-prof report`. In the preamble: \\usepackage{booktabs}
% OOM: out of memory; --: not measured. A table* is as wide as both columns of a page.
"""

#: Behind a value that a mark of its row speaks against.
_MARKED = r"$^\dagger$"


@dataclass(frozen=True)
class _Metric:
    column: str
    title: str
    divisor: float
    digits: int

    def text(self, point: Point | None) -> str:
        if point is None:
            return "--"
        value = point.value(self.column)
        if value is None:
            return "OOM" if point.status == "oom" else "--"
        sign = _MARKED if point.against(self.column) else ""
        return f"{value / self.divisor:.{self.digits}f}{sign}"


def latex_tables(content: Content) -> str:
    """One table for each model and context, split where there is more than a page has room for."""
    axis = next(iter(differing(content.points, _IN_COLUMNS)), None)
    own = differing(content.points, _IN_LINES)
    around = [name for name in differing(content.points, SETTINGS) if name not in (*own, axis)]
    contexts: defaultdict[tuple[Setting, ...], list[Point]] = defaultdict(list)
    for point in content.points:
        contexts[(point.model, *(point.settings[name] for name in around))].append(point)
    tables: list[str] = []
    for points in contexts.values():
        about = ", ".join(filter(None, (points[0].model, phrases(points[0], around), content.shared)))
        tables += _tables(points, axis, own, about)
    batches = [tables[first : first + _MOST_FLOATS] for first in range(0, len(tables), _MOST_FLOATS)]
    return _HEAD + "\n\\clearpage\n".join(map("".join, batches))


def _tables(points: Sequence[Point], axis: str | None, own: Sequence[str], about: str) -> Iterator[str]:
    metrics = _metrics(points)
    values = sorted({point.settings[axis] for point in points}, key=sort_key) if axis else [None]
    if axis and len(values) == 1:
        about = f"{about}, {phrases(points[0], [axis])}"
    elif axis:
        metrics = metrics[:2]
    most = _values_beside(points, own, metrics)
    for first in range(0, len(values), most):
        yield from _split(points, axis, values[first : first + most], own, metrics, about)


def _values_beside(points: Sequence[Point], own: Sequence[str], metrics: Sequence[_Metric]) -> int:
    """So many columns of each metric fit on a page, whatever is in them; one at least."""
    label = max(len(named(point, own)) for point in points)
    widest = [max(len(metric.text(point).replace(_MARKED, "+")) for point in points) for metric in metrics]
    room = _BOTH - _width([label])
    return max(1, int(room // _width(widest)))


def _width(characters: Sequence[int]) -> float:
    """Points that columns with at most so many characters take."""
    return sum(each * _CHARACTER + 2 * _SEPARATION for each in characters)


def _metrics(points: Sequence[Point]) -> list[_Metric]:
    largest = max((point.value("peak_allocated_bytes") or 0 for point in points), default=0)
    scale = bytes_scale(largest)
    metrics = [
        _Metric("activation_bytes", f"held [{scale.unit}]", scale.divisor, 2),
        _Metric("peak_allocated_bytes", f"peak [{scale.unit}]", scale.divisor, 2),
        _Metric("peak_reserved_bytes", f"reserved [{scale.unit}]", scale.divisor, 2),
        _Metric("step_ms_median", "step [ms]", 1, 1),
        _Metric("tokens_per_s", "tokens/s", 1, 0),
    ]
    timed = any(point.value("tokens_per_s") is not None for point in points)
    return metrics if timed else metrics[:3]


def _split(
    points: Sequence[Point],
    axis: str | None,
    values: Sequence[Setting],
    own: Sequence[str],
    metrics: Sequence[_Metric],
    about: str,
) -> Iterator[str]:
    lines: defaultdict[str, dict[Setting, list[Point]]] = defaultdict(dict)
    for point in points:
        value = point.settings[axis] if axis else None
        lines[named(point, own)].setdefault(value, []).append(point)
    cells = [
        [label, *(metric.text(point) for metric in metrics for point in in_columns)]
        for label, by_value in lines.items()
        for in_columns in _side_by_side(by_value, values)
    ]
    titles = ["method", *(metric.title if len(values) == 1 else "" for metric in metrics for _ in values)]
    columns = zip(titles, *cells, strict=True)
    narrow = (
        _width([max(len(text.replace(_MARKED, "+")) for text in column) for column in columns]) <= _COLUMN
    )
    texts = [_line(latex_text(label), values_of) for label, *values_of in cells]
    said = meanings({name for point in points for metric in metrics for name in point.against(metric.column)})
    for first in range(0, len(texts), _MOST_LINES):
        floating = "table" if narrow else "table*"
        yield _table(floating, texts[first : first + _MOST_LINES], axis, values, metrics, about, said)


def _side_by_side(
    by_value: dict[Setting, list[Point]], values: Sequence[Setting]
) -> Iterator[list[Point | None]]:
    """Lines of a method: several where cells differ in something that no label names."""
    for index in range(max(map(len, by_value.values()))):
        line = [by_value[v][index] if index < len(by_value.get(v, ())) else None for v in values]
        if any(line):
            yield line


def _table(
    floating: str,
    lines: Sequence[str],
    axis: str | None,
    values: Sequence[Setting],
    metrics: Sequence[_Metric],
    about: str,
    said: str,
) -> str:
    width = len(values)
    legend = f" {_MARKED} {latex_text(said)}." if any(_MARKED in line for line in lines) else ""
    parts = [
        f"\n\\begin{{{floating}}}[htbp]\n\\centering\n\\footnotesize\n",
        f"\\setlength{{\\tabcolsep}}{{{_SEPARATION:g}pt}}\n",
        f"\\caption{{Memory of one training step: {latex_text(about)}.{legend}}}\n",
        f"\\begin{{tabular}}{{l{'r' * (width * len(metrics))}}}\n\\toprule\n",
        *_heads(axis, values, metrics),
        "\\midrule\n",
        *lines,
        f"\\bottomrule\n\\end{{tabular}}\n\\end{{{floating}}}\n",
    ]
    return "".join(parts)


def _heads(axis: str | None, values: Sequence[Setting], metrics: Sequence[_Metric]) -> Iterator[str]:
    titles = [latex_text(metric.title) for metric in metrics]
    width = len(values)
    if width == 1:
        yield _line("method", titles)
        return
    yield _line("", [f"\\multicolumn{{{width}}}{{c}}{{{title}}}" for title in titles])
    starts = [2 + width * index for index in range(len(metrics))]
    yield "".join(f"\\cmidrule(lr){{{start}-{start + width - 1}}}" for start in starts) + "\n"
    yield _line(
        f"method / {latex_text(str(axis))}", [latex_text(str(value)) for value in values] * len(metrics)
    )


def _line(label: str, cells: Sequence[str]) -> str:
    return " & ".join([label, *cells]) + " \\\\\n"
