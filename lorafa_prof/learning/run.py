"""A learning run: a cell, a task, and all that decides what is trained."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path

from lorafa_prof.cell import Cell
from lorafa_prof.frozen_data import Frozen
from lorafa_prof.scenario.training import Schedule
from lorafa_prof.tasks.choice import TaskChoice

#: What changes nothing of what is trained, or is in the digest in another form.
_NOT_IN_ID = {"cell", "task", "checkpoint_every", "keep_trained", "run_generated_code"}


class LearningRun(Frozen):
    """One run, with everything fixed. Its JSON form is passed to its process and kept with what it found.

    Attributes:
        cell: as `lorafa-prof run` measures it; the same for all learning rates and seeds.
        learning_rate: the highest of the schedule.
        seed: of the order of the items, and of dropout.
        draw_seed: of what is new beside pretrained weights.
        run_generated_code: whether programs that the model writes may be run.

    The others are those of the scenario's `training` block.
    """

    cell: Cell
    task: TaskChoice
    learning_rate: float
    seed: int
    draw_seed: int
    steps: int | None
    epochs: float | None
    schedule: Schedule
    warmup: float
    weight_decay: float
    evaluate_every: int | None
    checkpoint_every: int | None = None
    keep_trained: bool = True
    run_generated_code: bool = False

    @property
    def run_id(self) -> str:
        """The run's id: a readable name that ends in a digest of all that decides what is trained.

        It is the same wherever the data lies, and safe as a file name.
        """
        # What is at its default is left out, so that ids stay when settings are added.
        settings = self.model_dump(mode="json", exclude=_NOT_IN_ID, exclude_defaults=True)
        task = self.task.model_dump(mode="json", exclude={"data"}, exclude_defaults=True)
        task["data"] = Path(self.task.data).name
        canonical = json.dumps({"cell": self.cell.cell_id, "task": task, **settings}, sort_keys=True)
        digest = hashlib.sha256(canonical.encode()).hexdigest()[:10]
        stem = self.cell.cell_id.rpartition("_")[0]
        name = f"{stem}_{self.task.name}_lr{self.learning_rate:g}_s{self.seed}_d{self.draw_seed}_{digest}"
        return re.sub(r"[^A-Za-z0-9._-]+", "-", name)

    def label_as(self, cell_label: str) -> str:
        """Return what the run is called, its cell being called so."""
        return f"{cell_label} lr {self.learning_rate:g} seed {self.seed} draw {self.draw_seed}"

    @property
    def items_per_step(self) -> int:
        """Items that a step trains on."""
        return self.cell.batch * self.cell.accumulation

    def total_steps(self, items: int) -> int:
        """Return how many steps the run has, of so many items to train on."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        # As the decimal number that was written: 0.1 * 30 is a little above 3 in binary.
        return max(1, math.ceil(round(self.epochs * items / self.items_per_step, 9)))
