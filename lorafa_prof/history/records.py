"""A history as values for JSON and for a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lorafa_prof.history.history import History, changes_of, metric_of
from lorafa_prof.results.spreadsheet import Value

HEADER = ("state", "written", "subject", "cell_id", "cell", "metric", "unit", "value")


def history_rows(history: History) -> Iterator[tuple[Value, ...]]:
    """Yield a header, and a row for each value of each moment."""
    yield HEADER
    for moment in history.moments:
        for series, value in moment.values.items():
            cell_id, metric = series
            told = (cell_id, history.labels[cell_id], metric, metric_of(series).unit, value)
            yield (moment.name, moment.written, moment.subject, *told)


def history_json(history: History) -> dict[str, Any]:
    """Return all values and changes, in the units of their metrics."""
    return {
        "of": history.of,
        "states": [
            {"name": moment.name, "written": moment.written, "subject": moment.subject}
            for moment in history.moments
        ],
        "series": [
            {
                "cell_id": series[0],
                "cell": history.labels[series[0]],
                "metric": series[1],
                "unit": metric_of(series).unit,
                "values": history.values(series),
            }
            for series in history.series
        ],
        "changes": [
            {
                "state": history.moments[change.at].name,
                "cell_id": change.series[0],
                "metric": change.series[1],
                "before": change.before,
                "after": change.after,
                "why": change.why,
            }
            for change in changes_of(history)
        ],
        "notes": list(history.notes),
    }
