"""What a profile says: an object that can be printed, explained, kept and compared."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from lorafa_prof.instruments.flops.counter import FlopCount
from lorafa_prof.instruments.memory.profile import Counters, PhaseMemory
from lorafa_prof.instruments.saved.recorder import SavedStorage
from lorafa_prof.profiling.tensors_table import table_of
from lorafa_prof.step import PHASES, Phase
from lorafa_prof.words.numbers import size
from lorafa_prof.words.phrases import count
from lorafa_prof.words.tables import aligned

if TYPE_CHECKING:
    from lorafa_prof.explaining.explanation import Explanation


@dataclass(frozen=True)
class ProfiledStep:
    """One step.

    Attributes:
        phases: its memory by phase, in bytes; empty where nothing counts memory.
        held_bytes: allocated at the end of forward less at its start, of the micro-batch with most.
        phase_ms: milliseconds by phase; empty on a twin, which has no clock.
        attributed: whether instruments that cost time, and may hold a gradient longer, were on.
    """

    phases: Mapping[Phase, PhaseMemory]
    held_bytes: int | None
    phase_ms: Mapping[Phase, float]
    attributed: bool

    @property
    def ms(self) -> float | None:
        """Of the whole step; None where there is no clock."""
        return sum(self.phase_ms.values()) if self.phase_ms else None


@dataclass(frozen=True)
class Profile:
    """Memory of any code, in bytes: of the step that is told, which is the last one without attribution.

    Attributes:
        activation_bytes: allocated at the end of forward less at the start; None where nothing counts memory.
        saved_bytes: of the distinct storages that autograd holds at the end of forward, without parameters,
            buffers and what else was there before the step; None where nothing was attributed.
        peak_bytes: the most that was allocated during the step less what was at its start; None as the first.
        device: "cpu", "cuda" or "sim:<gpu>".
        tensors: the saved storages, largest first.
        steps: all of them, in their order.
        sizes: columns of the results table that say how large model, gradients and optimizer are.
        flops: of the attributed step; None where they were not counted.
        largest: of each counter, over all that ran, steps or not; None where nothing counts memory.
        name: what it is called: as the profile was told, else the model's class.
        status: "ok", or "oom" where memory ran out.
        failed_phase: where it ran out.
        notes: what a reader must know; the first says where memory ran out.
    """

    activation_bytes: int | None
    saved_bytes: int | None
    peak_bytes: int | None
    device: str
    tensors: tuple[SavedStorage, ...] = field(repr=False)
    steps: tuple[ProfiledStep, ...] = field(default=(), repr=False, compare=False)
    sizes: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)
    flops: FlopCount | None = field(default=None, repr=False, compare=False)
    largest: Counters | None = field(default=None, repr=False, compare=False)
    name: str = field(default="", repr=False, compare=False)
    status: str = field(default="ok", repr=False, compare=False)
    failed_phase: str = field(default="", repr=False, compare=False)
    notes: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def told(self) -> ProfiledStep | None:
        """The step that is told; None where none ended."""
        return told_of(self.steps)

    def __str__(self) -> str:
        return f"{self!r}\n{table_of(self.tensors)}"

    def table(self) -> str:
        """The told step by phase, the sizes of what is always there, and the largest saved tensors."""
        lines = [f"{self.name or 'profile'} on {self.device}: {count(len(self.steps), 'step')}", *self.notes]
        if self.told is not None:
            lines += ["", *_phase_lines(self.told)]
        lines += [
            f"{label} {size(self.sizes[column])}"
            for column, label in _SIZES.items()
            if self.sizes.get(column) is not None
        ]
        if self.flops is not None:
            lines.append(f"FLOPs {self.flops.step:,}")
        if self.saved_bytes is not None:
            lines += ["", table_of(self.tensors)]
        return "\n".join(lines)

    def explain(self, depth: int = 2) -> str:
        """What holds the memory, as `lorafa-prof explain` tells it.

        Args:
            depth: 1 for the parts, 2 for the largest tensors, 3 for all of them.
        """
        from lorafa_prof.explaining.explanation_text import explanation_text

        return explanation_text(self._explanation(), depth, None)

    def to_json(self) -> str:
        """All that is known, as JSON: status, row of the results table, phases, saved tensors, notes."""
        from lorafa_prof.profiling.kept import result_of

        result = result_of(self)
        return json.dumps({"row": result.row, "details": result.details, "environment": result.environment})

    def save(self, out: str | Path) -> Path:
        """Keep it in a folder, as `lorafa-prof run` keeps a cell: for report, explain and compare.

        Of a folder with other results it becomes one more row; one of the same name and place is replaced.

        Returns: the folder.

        Raises:
            UsageError: the folder cannot be written.
        """
        from lorafa_prof.profiling.kept import keep

        return keep(self, Path(out))

    def _repr_html_(self) -> str:
        """For notebooks."""
        return f"<pre>{html.escape(self.table())}</pre>"

    def _explanation(self) -> Explanation:
        from lorafa_prof.explaining.explanation import NO_CELL, by_record
        from lorafa_prof.explaining.subject import Subject
        from lorafa_prof.profiling.kept import result_of

        kept = result_of(self)
        subject = Subject(kept.cell.cell_id, kept.cell.label, kept.cell, kept.row, kept.details)
        return by_record(subject, NO_CELL)


_SIZES = {"weights_bytes": "weights", "gradients_bytes": "gradients", "optimizer_bytes": "optimizer state"}


class _Step(Protocol):
    @property
    def attributed(self) -> bool: ...


S = TypeVar("S", bound=_Step)


def told_of(steps: Sequence[S]) -> S | None:
    """The last of the steps without attribution, else the last; None of none."""
    bare = [step for step in steps if not step.attributed]
    return next(reversed(bare or steps), None)


def _phase_lines(step: ProfiledStep) -> list[str]:
    head = ("phase", "start", "end", "peak", "ms")
    rows = [
        (
            phase,
            *(size(each.allocated) for each in (memory.start, memory.end, memory.peak)),
            f"{step.phase_ms[phase]:.2f}" if phase in step.phase_ms else "-",
        )
        for phase in PHASES
        if (memory := step.phases.get(phase)) is not None
    ]
    if not rows:
        head, rows = ("phase", "ms"), [(name, f"{ms:.2f}") for name, ms in step.phase_ms.items()]  # type: ignore[assignment]
    return aligned([head, *rows], right=range(1, len(head)))
