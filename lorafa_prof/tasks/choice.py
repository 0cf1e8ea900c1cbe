"""Which task a learning run trains on, as a scenario says."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictFloat, StrictInt, StrictStr

from lorafa_prof.frozen_data import Frozen

#: Which head a model has for a task.
TaskKind = Literal["causal-lm", "classification", "image-classification"]
#: How a question of multiple choice is asked.
AnswerBy = Literal["name", "text"]


class TaskChoice(Frozen):
    """A task and how much of its data is used.

    Attributes:
        name: of the catalogue: `lorafa-prof list tasks`.
        data: a file or folder with the data set's own files, gzipped or not; empty: from the hub.
        kind: which head the model gets, where the task can do with several; None: the usual one.
        train_items: at most so many items are trained on, drawn by the data seed; None: all.
        validation: share of the training items that is held out, to choose learning rates by.
        eval_items: at most so many items of each split are evaluated, drawn by `seed`; None: all.
        eval_batch: so many items are evaluated at once; None: as many as the cell's batch.
        samples: how many programs a task of programming has written for each problem; 1: the most likely one.
        answer_by: of multiple choice: "name" lists the choices and is answered by the name of one; "text"
            asks the question alone, and each choice's own text may follow.
        seed: of which items are held out and drawn; every run of a scenario has the same.
    """

    name: StrictStr
    data: StrictStr = ""
    kind: TaskKind | None = None
    train_items: StrictInt | None = Field(default=None, ge=1)
    validation: StrictFloat = Field(default=0.1, gt=0, lt=1)
    eval_items: StrictInt | None = Field(default=None, ge=1)
    eval_batch: StrictInt | None = Field(default=None, ge=1)
    samples: StrictInt = Field(default=1, ge=1, le=1000)
    answer_by: AnswerBy = "name"
    seed: StrictInt = Field(default=0, ge=0)
