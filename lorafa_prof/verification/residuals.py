"""Predicted, measured and residual bytes, by phase and for the headline metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Memory = Mapping[str, Any]
"""A `MemoryProfile` as a record has it: ``phases[phase][point][counter]`` in bytes."""

COUNTERS = ("allocated", "requested", "active", "reserved")
#: Where the twin is to be exact; of what is reserved, the driver has a say.
EXACT_COUNTERS = ("allocated", "requested")
POINTS = ("start", "end", "peak")

METRICS = (
    "activation_bytes",
    "peak_allocated_bytes",
    "peak_forward_bytes",
    "peak_backward_bytes",
    "peak_optimizer_bytes",
    "peak_requested_bytes",
    "peak_reserved_bytes",
)
RESERVED = "peak_reserved_bytes"
#: Of ranks there is this too: what each sends in a step.
SENT = "sent_bytes"


class Residual(NamedTuple):
    """A number of bytes as predicted and as measured."""

    predicted: int
    measured: int

    @property
    def residual(self) -> int:
        """Predicted less measured, bytes."""
        return self.predicted - self.measured

    @property
    def share(self) -> float:
        """The residual as a share of what was measured."""
        return self.residual / self.measured if self.measured else float(self.residual != 0)


class PhaseResidual(NamedTuple):
    """The predicted and measured bytes of one counter at one point of a phase, or of a step of a run.

    `rank` is which of several ranks it is of; None of a cell on one GPU.
    """

    phase: str
    point: str
    counter: str
    bytes: Residual
    rank: int | None = None


class SentResidual(NamedTuple):
    """What was predicted and measured of one kind of a rank's collectives in one phase."""

    phase: str
    collective: str
    calls: Residual
    sent_bytes: Residual
    rank: int

    @property
    def differs(self) -> bool:
        """Whether their number or the bytes that the rank sends are not the same."""
        return bool(self.calls.residual or self.sent_bytes.residual)


def phase_residuals(predicted: Memory, measured: Memory, rank: int | None = None) -> list[PhaseResidual]:
    """Return the residuals of every counter at every point of every phase and, in a run, step."""
    residuals = []
    sides = zip(_by_place(predicted).items(), _by_place(measured).values(), strict=True)
    for (place, our_points), their_points in sides:
        for point in POINTS:
            ours, theirs = our_points[point], their_points[point]
            for counter in COUNTERS:
                if ours[counter] is not None and theirs[counter] is not None:
                    pair = Residual(ours[counter], theirs[counter])
                    residuals.append(PhaseResidual(place, point, counter, pair, rank))
    return residuals


def _by_place(memory: Memory) -> dict[str, Any]:
    """Return the counters by phase and, in a run of different lengths, by step."""
    steps = enumerate(memory.get("steps", ()), start=1)
    return {**memory["phases"], **{f"step {number} of the run": step["memory"] for number, step in steps}}


def is_exact(residuals: list[PhaseResidual]) -> bool:
    """Return whether every number of the exact counters is right to the byte."""
    return all(residual.bytes.residual == 0 for residual in residuals if residual.counter in EXACT_COUNTERS)


def metrics_of(memory: Memory) -> dict[str, int]:
    """Return the headline metrics of a step's memory that it has, in bytes, by name."""
    phases = memory["phases"]
    forward = phases["forward"]
    peaks = {phase: phases[phase]["peak"] for phase in phases}
    held = {"activation_bytes": forward["end"]["allocated"] - forward["start"]["allocated"]}
    values = {
        **(held if "backward" in phases else {}),
        "peak_allocated_bytes": max(peak["allocated"] for peak in peaks.values()),
        **{f"peak_{phase}_bytes": peak["allocated"] for phase, peak in peaks.items()},
        "peak_requested_bytes": max(peak["requested"] for peak in peaks.values()),
        "peak_reserved_bytes": memory["peak_reserved_bytes"],
    }
    return {name: int(values[name]) for name in METRICS if name in values}


def metric_residuals(predicted: Memory, measured: Memory) -> dict[str, Residual]:
    """Return the residuals of the headline metrics, by name."""
    ours, theirs = metrics_of(predicted), metrics_of(measured)
    return {name: Residual(ours[name], theirs[name]) for name in ours}


def sent_residuals(
    predicted: Iterable[Mapping[str, Any]], measured: Iterable[Mapping[str, Any]], rank: int
) -> list[SentResidual]:
    """Return the residuals of what a rank sends, by phase and collective.

    Args:
        predicted, measured: its `Sent` as a record has them.
        rank: which it is.
    """
    ours, theirs = (
        {(one["phase"], one["collective"]): one for one in side} for side in (predicted, measured)
    )
    nothing = {"calls": 0, "sent_bytes": 0}
    residuals = []
    for phase, collective in ours | theirs:
        sides = [side.get((phase, collective), nothing) for side in (ours, theirs)]
        calls, sent = (Residual(*(side[name] for side in sides)) for name in nothing)
        residuals.append(SentResidual(phase, collective, calls, sent, rank))
    return residuals
