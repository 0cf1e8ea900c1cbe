"""What makes a row worth less than others: its marks, kept in `details.marks` and told in its message."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from lorafa_prof.results.columns import METRICS, Column

#: From fewer samples nothing is told of times.
FEWEST_SAMPLES = 5
#: Times whose 95th percentile is so many times the 5th are unsteady.
UNSTEADY = 1.2
#: Marks of a row with values that are another thing than the cell's own: these are judged of nothing.
DISTURBED = ("beside", "clocks", "retries")
#: What each mark says in a few words, where there is no room for its own: in legends and below tables.
MEANINGS: Mapping[str, str] = {
    "beside": "measured beside others",
    "clocks": "clocks lowered",
    "retries": "allocator retried",
    "samples": "few samples",
    "unsteady": "unsteady samples",
}
#: Of memory, what the allocator counts: sums of storages and the host's memory are as they are.
_OF_THE_ALLOCATOR = (
    "activation_bytes",
    "peak_allocated_bytes",
    "peak_forward_bytes",
    "peak_backward_bytes",
    "peak_optimizer_bytes",
    "peak_reserved_bytes",
)


def _touching(metric: Column) -> tuple[str, ...]:
    if metric.group in ("time", "energy") or metric.name == "mfu":
        return tuple(MEANINGS)
    if metric.name == "device_used_bytes":  # of all processes together
        return ("beside", "retries")
    return ("retries",) if metric.name in _OF_THE_ALLOCATOR else ()


_TOUCHED: Mapping[str, tuple[str, ...]] = {metric.name: _touching(metric) for metric in METRICS}


def retried(times: int | None) -> dict[str, str]:
    """The mark of a row whose allocator gave its cache back so often."""
    return {"retries": f"the allocator had to retry {times} times: compare to no other row"} if times else {}


def beside(others: Sequence[str]) -> dict[str, str]:
    """The mark of a row that was measured while `others` used the GPU."""
    return (
        {"beside": f"measured beside {', '.join(others)} on the GPU: its times are no row's"}
        if others
        else {}
    )


def slowed(reasons: Sequence[str]) -> dict[str, str]:
    """The mark of a row during which the GPU's clocks were lowered."""
    return {"clocks": f"the GPU's clocks were lowered: {', '.join(reasons)}"} if reasons else {}


def sampled(step_ms: Sequence[float]) -> dict[str, str]:
    """The marks of times by their samples: too few, or too far apart."""
    if len(step_ms) < FEWEST_SAMPLES:
        return {"samples": f"{len(step_ms)} timed steps are too few: steps.timed of {FEWEST_SAMPLES} or more"}
    import numpy as np

    low, high = np.percentile(step_ms, (5, 95))
    if high > UNSTEADY * low:
        return {
            "unsteady": f"unsteady times: the 95th percentile is {high / max(low, 1e-9):.2f} times the 5th"
        }
    return {}


def marks_in(details: Mapping[str, Any]) -> Mapping[str, str]:
    """The marks in a record's details, by name; none where they are not as this version writes them."""
    marks = details.get("marks")
    return {str(name): str(why) for name, why in marks.items()} if isinstance(marks, Mapping) else {}


def against(column: str, marks: Collection[str]) -> tuple[str, ...]:
    """Those of a row's marks that speak against its value in this column: the one place that decides it."""
    return tuple(name for name in _TOUCHED.get(column, ()) if name in marks)


def disturbance(column: str, marks: Mapping[str, str]) -> str:
    """Why a row's value in this column is not its cell's own, by its marks; empty where nothing says so."""
    return "; ".join(marks[name] for name in against(column, marks) if name in DISTURBED)


def written(marks: Iterable[str]) -> str | None:
    """The names of marks as the table has them; None where there are none."""
    return " ".join(marks) or None


def read(text: str) -> tuple[str, ...]:
    """The names of marks that the table has."""
    return tuple(text.split())


def meanings(marks: Collection[str]) -> str:
    """What they say, each once: "measured beside others / unsteady samples"."""
    return " / ".join(words for name, words in MEANINGS.items() if name in marks)


def legend(marks: Collection[str]) -> str:
    """A line below a table with these marks; empty where there are none."""
    meant = ", ".join(f"{name}: {words}" for name, words in MEANINGS.items() if name in marks)
    return f"marks of rows that are worth less than others: {meant} (docs/results.md)" if meant else ""
