"""What the instruments measured of one cell, filled in as it is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lorafa_prof.instruments.communication.counter import Communication
from lorafa_prof.instruments.energy import EnergyReading
from lorafa_prof.instruments.fidelity.base_error import BaseError
from lorafa_prof.instruments.fidelity.fidelity import Fidelity
from lorafa_prof.instruments.flops.counter import FlopCount
from lorafa_prof.instruments.memory.profile import MemoryProfile
from lorafa_prof.instruments.saved.recorder import SavedTensors
from lorafa_prof.instruments.timing import StepTimes


@dataclass
class Measured:
    """Everything that was measured of one cell; None means not measured.

    Attributes:
        tokens_beside_seq: of each sample, what the model sees beside its text's `seq` tokens.
        seconds: what each part of measuring the cell took.
        unchecked_operations: on the twin, what ran there and was in no trace of a GPU; None elsewhere.
        alike_ranks: of a cell of several GPUs, groups of ranks that are alike; None: it was not looked for.
        notes: what a reader of the row must know; they become its message.
        marks: what makes it worth less than other rows, by the names of `marks.py`.
        unavailable: what this machine cannot tell, and why.
        further: what the details of the result have beside all that, in values for JSON.
        part_started: told the name of each part of measuring the cell as it starts.
    """

    tokens_beside_seq: int = 0
    params_total: int | None = None
    params_trainable: int | None = None
    weights_bytes: int | None = None
    optimizer_bytes: int | None = None
    inputs_bytes: int | None = None
    memory: MemoryProfile | None = None
    times: StepTimes | None = None
    flops: FlopCount | None = None
    saved: SavedTensors | None = None
    energy: EnergyReading | None = None
    communication: Communication | None = None
    fidelity: Fidelity | None = None
    base_error: BaseError | None = None
    device_used_bytes: int | None = None
    process_used_bytes: int | None = None
    host_rss_bytes: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    unchecked_operations: list[str] | None = None
    alike_ranks: list[range] | None = None
    notes: list[str] = field(default_factory=list)
    marks: dict[str, str] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    further: dict[str, Any] = field(default_factory=dict)
    part_started: Callable[[str], None] = lambda part: None
