"""Opening a task: its data is read, its items are chosen and turned into tokens."""

from __future__ import annotations

from lorafa_prof.errors import UsageError
from lorafa_prof.guard import guarded
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.entry import TASKS, Opening
from lorafa_prof.tasks.image_format import ImageFormat
from lorafa_prof.tasks.task import Task, Tokenizer


def open_task(
    choice: TaskChoice,
    tokenizer: Tokenizer | None,
    seq: int,
    *,
    images: ImageFormat | None = None,
    run_generated_code: bool = False,
) -> Task:
    """Return a task whose data is there.

    Args:
        choice: which, and how much of it.
        tokenizer: the model's, or a `ByteTokenizer`; None of a model of images.
        seq: the most tokens of an item that is trained on.
        images: the model's form of images; None of a model of text.
        run_generated_code: run the programs that the model writes for a task of programming, in a sandbox
            without network; without it they are written down, and there is no metric.

    Raises:
        UsageError: there is no such task, it is none for such a model, or its data is missing or damaged.
    """
    entry = TASKS[choice.name]
    kind = choice.kind or entry.kinds[0]
    if kind not in entry.kinds:
        raise UsageError(
            f"task '{choice.name}' is for models of {' and '.join(entry.kinds)}, not of {kind}; "
            "`lorafa-prof list tasks` shows all",
            about="task",
        )
    programs = entry.metric.startswith("pass@")
    for given, what in ((run_generated_code, "programs to run"), (choice.samples > 1, "samples")):
        if given and not programs:
            raise UsageError(f"task '{choice.name}' has no {what}; leave that out", about="task")
    if choice.answer_by == "text" and not entry.answered_by_text:
        can = ", ".join(name for name in sorted(TASKS) if TASKS[name].answered_by_text)
        raise UsageError(
            f"task '{choice.name}' cannot be answered by text; leave answer_by out (tasks that can: {can})",
            about="task",
        )
    opening = Opening(choice, kind, tokenizer, seq, images, run_generated_code)
    with guarded(f"the task '{choice.name}'"):
        return entry.open(opening)
