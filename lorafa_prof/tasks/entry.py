"""The catalogue of tasks, found by `tasks/catalogue/` and third parties' entry points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lorafa_prof.registry import Registry
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.image_format import ImageFormat
from lorafa_prof.tasks.task import Task, TaskKind, Tokenizer


@dataclass(frozen=True)
class Opening:
    """What a task is opened with.

    Attributes:
        choice: which, and how much of it.
        kind: which head the model has, of those that the task can be asked by.
        tokenizer: the model's; None of a model of images.
        seq: the most tokens of an item that is trained on.
        images: the model's form of images; None of a model of text.
        run_generated_code: whether programs that the model writes are run, in a sandbox.
    """

    choice: TaskChoice
    kind: TaskKind
    tokenizer: Tokenizer | None
    seq: int
    images: ImageFormat | None
    run_generated_code: bool


@dataclass(frozen=True)
class TaskEntry:
    """A task of the catalogue.

    Attributes:
        name: as a scenario names it.
        metric: what it is judged by; empty: by the loss alone.
        kinds: which heads a model may have for it, the usual one first.
        data: where its data comes from, in a line.
        open: reads the data.
        answered_by_text: whether the own texts of its choices can be the answer.
    """

    name: str
    metric: str
    kinds: tuple[TaskKind, ...]
    data: str
    open: Callable[[Opening], Task]
    answered_by_text: bool = False


#: By name; a module of `tasks/catalogue/` has its entries as `TASKS`.
TASKS: Registry[TaskEntry] = Registry(
    kind="task",
    package="lorafa_prof.tasks.catalogue",
    attribute="TASKS",
    group="lorafa_prof.tasks",
    name_of=lambda entry: entry.name,
)
