"""What makes a row worth less than others: its marks, kept in `details.marks` and told in its message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

#: From fewer samples nothing is told of times.
FEWEST_SAMPLES = 5
#: Times whose 95th percentile is so many times the 5th are unsteady.
UNSTEADY = 1.2
#: Marks of a row whose times are another thing than the cell's own.
DISTURBED = ("beside", "clocks", "retries")


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
    low, high = np.percentile(step_ms, (5, 95))
    if high > UNSTEADY * low:
        return {
            "unsteady": f"unsteady times: the 95th percentile is {high / max(low, 1e-9):.2f} times the 5th"
        }
    return {}


def disturbance(details: Mapping[str, Any]) -> str | None:
    """Why a record's times are not its cell's own; None where nothing is known against them."""
    marks = details.get("marks")
    marks = marks if isinstance(marks, Mapping) else {}
    return next((str(marks[name]) for name in DISTURBED if name in marks), None)
