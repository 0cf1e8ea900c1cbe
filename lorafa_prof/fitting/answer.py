"""Whether a cell fits on its GPU, and how far its batch and its sequence could grow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from lorafa_prof.cell import Cell
from lorafa_prof.fitting.search import guess_from, largest
from lorafa_prof.instruments.memory.profile import MemoryProfile
from lorafa_prof.running.prediction import UNLIMITED, Prediction

#: Sequences are multiples of so many tokens.
SEQ_UNIT = 64
#: Batches above are not looked at.
MAX_BATCH = 4096

#: Predicts a cell with an allocator of so many bytes.
Predict = Callable[[Cell, int], Prediction]


@dataclass(frozen=True)
class Largest:
    """The largest value of a setting that fits.

    Attributes:
        value: it; None: not even the smallest fits.
        is_limit: larger values were not looked at: the model has no more positions, or `MAX_BATCH`.
        retries: how often the allocator had to give its cache back so that it fits; above 0 it is slow.
    """

    value: int | None
    is_limit: bool = False
    retries: int = 0


@dataclass(frozen=True)
class FitQuestion:
    """What was asked about.

    Attributes:
        cell: batch, sequence and all else.
        capacity_bytes: what the allocator can get on the cell's GPU.
        seq_limit: sequences above are not looked at.
        seq_unit: sequences looked at are multiples of so many tokens, or all there are.
    """

    cell: Cell
    capacity_bytes: int
    seq_limit: int
    seq_unit: int = SEQ_UNIT


@dataclass(frozen=True)
class Fit:
    """The answer for the batch and sequence that were asked for.

    Attributes:
        failed_phase: where memory runs out; None: it fits.
        memory: of a steady step; where it does not fit, with as much memory as it takes.
        notes: what a reader must know.
    """

    asked: FitQuestion
    failed_phase: str | None
    memory: MemoryProfile
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether it fits."""
        return self.failed_phase is None

    @property
    def left_bytes(self) -> int:
        """What the allocator never took; below 0, how much is missing."""
        return self.asked.capacity_bytes - (self.memory.peak_reserved_bytes or 0)


@dataclass(frozen=True)
class Fewest:
    """The smallest number of GPUs on which a sharded cell fits.

    Attributes:
        value: it; None: not on the most that are looked at.
        retries: as of `Largest`.
    """

    value: int | None
    retries: int = 0


@dataclass(frozen=True)
class Change:
    """A setting in the place of a cell's own.

    Attributes:
        key: of a scenario.
        words: what that is, as it follows "with".
    """

    key: str
    value: int | str
    words: str


#: Changes that make a step fit together.
Way = tuple[Change, ...]


@dataclass(frozen=True)
class Answer:
    """All that is said of one cell.

    Attributes:
        gpus: None where nothing is sharded.
        ways: in which it would fit; None where that was not asked: it fits, or another does.
    """

    fit: Fit
    batch: Largest
    seq: Largest
    gpus: Fewest | None = None
    ways: tuple[Way, ...] | None = None

    @property
    def tokens_per_step(self) -> int | None:
        """Of a step with the largest batch, on all GPUs."""
        cell = self.fit.asked.cell
        return None if self.batch.value is None else self.batch.value * cell.seq * cell.forwards * cell.gpus


def fit_as_asked(asked: FitQuestion, predict: Predict) -> Fit:
    """Predict the cell as it is; where it does not fit, also what it would need."""
    prediction = predict(asked.cell, asked.capacity_bytes)
    memory = prediction.memory or predict(asked.cell, UNLIMITED).memory
    assert memory is not None
    return Fit(asked, prediction.failed_phase, memory, prediction.notes)


def largest_batch(fit: Fit, predict: Predict) -> Largest:
    """The largest batch at the cell's sequence length."""
    batch = fit.asked.cell.batch
    return _largest(fit, predict, lambda n: {"batch": n}, at=batch, limit=max(MAX_BATCH, batch))


def longest_seq(fit: Fit, predict: Predict) -> Largest:
    """The longest sequence at the cell's batch, a multiple of `FitQuestion.seq_unit`."""
    limit = fit.asked.seq_limit
    unit = min(fit.asked.seq_unit, limit)
    at = fit.asked.cell.seq / unit
    found = _largest(fit, predict, lambda n: {"seq": n * unit}, at=at, limit=limit // unit)
    return replace(found, value=found.value and found.value * unit)


def _largest(
    fit: Fit, predict: Predict, setting: Callable[[int], Mapping[str, int]], *, at: float, limit: int
) -> Largest:
    """The largest n up to `limit` of which `setting` fits; `at` is the one that was asked for."""
    asked = fit.asked
    points: dict[int, int] = {}
    retries: dict[int, int] = {}

    def note(n: int, memory: MemoryProfile) -> None:
        retries[n] = memory.num_alloc_retries or 0
        if not retries[n]:
            # What gives cached blocks back takes all there is, whatever its n.
            points[n] = memory.peak_reserved_bytes or 0

    def fits(n: int) -> bool:
        memory = predict(asked.cell.model_copy(update=setting(n)), asked.capacity_bytes).memory
        if memory is not None:
            note(n, memory)
        return memory is not None

    low, high = 0, limit + 1
    if at == int(at):
        low, high = (int(at), high) if fit.fits else (low, int(at))
    # Between two n it proves nothing, but is as good for guessing.
    note(max(round(at), 1), fit.memory)
    n = largest(fits, low=low, high=high, guess=guess_from(points, _start(fit.memory), asked.capacity_bytes))
    return Largest(n or None, is_limit=n == limit, retries=retries.get(n, 0))


def _start(memory: MemoryProfile) -> int:
    """What is there whatever batch and sequence: weights, optimizer state, gradients."""
    return memory.static_bytes + (memory.gradients_bytes or 0)
