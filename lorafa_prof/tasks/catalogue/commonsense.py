"""Multiple choice of commonsense and of reading, asked as LLM-Adapters asks: the answer is a choice's name.

The hub's own fields are put into the same words, so that an item reads the same wherever it comes from; so do
local files that have the hub's fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lorafa_prof.tasks.choosing import ChoiceTask, Question, question
from lorafa_prof.tasks.entry import Opening, TaskEntry
from lorafa_prof.tasks.items import choose_items
from lorafa_prof.tasks.rows.parts import read_parts
from lorafa_prof.tasks.rows.row import Row, RowError, place_in, text, texts, whole
from lorafa_prof.tasks.rows.source import Source
from lorafa_prof.tasks.task import Task

#: Names the choices, at the end of each instruction of LLM-Adapters.
_FORMAT = re.compile(r"Answer format: (\S+)\s*$")
_CHOOSE = "Please choose the correct answer to the question: "


@dataclass(frozen=True)
class _Set:
    """A data set of questions.

    Attributes:
        name: as a scenario has it.
        source: where it is found.
        ask: makes a question of the hub's fields.
    """

    name: str
    source: Source
    ask: Callable[[Row], Question]

    def parse(self, row: Row) -> Question:
        return _instructed(row) if "instruction" in row else self.ask(row)

    def open(self, opening: Opening) -> Task:
        parts = read_parts(opening.choice, [self.source])
        return ChoiceTask(opening, choose_items(opening.choice, parts, self.parse), "accuracy")


def _instructed(row: Row) -> Question:
    """A row of LLM-Adapters: the instruction names the choices, and the output ends with one."""
    instruction, output, answer = text(row, "instruction"), text(row, "output"), text(row, "answer")
    named = _FORMAT.search(instruction)
    if named is None:
        raise RowError(
            "'instruction' does not end with the form of its answer, such as 'Answer format: true/false'"
        )
    names = named[1].split("/")
    if not output.endswith(answer):
        raise RowError(f"'output' does not end with the answer, {answer!r}")
    return _asked(instruction, names, place_in(names, answer, "answer"), output.removesuffix(answer))


def _asked(
    instruction: str, names: Sequence[str], right: int, before: str = "the correct answer is "
) -> Question:
    return question(instruction, [f"\n\n{before}{name}" for name in names], right)


def _of_choices(head: str, kind: str, choices: Sequence[str], right: int, between: str = " ") -> Question:
    names = [f"{kind}{number}" for number in range(1, len(choices) + 1)]
    listed = between.join(
        f"{name.capitalize()}: {choice}" for name, choice in zip(names, choices, strict=True)
    )
    before_format = " " if kind == "option" else "\n\n"
    return _asked(f"{head}\n\n{listed}{before_format}Answer format: {'/'.join(names)}", names, right)


def _boolq(row: Row) -> Question:
    answer = row.get("answer")
    if not isinstance(answer, bool):
        raise RowError(f"'answer' is {answer!r}, not true or false")
    asked = text(row, "question").rstrip("?")
    head = f"Please answer the following question with true or false, question: {asked}?"
    return _asked(f"{head}\n\nAnswer format: true/false", ["true", "false"], 0 if answer else 1)


def _arc(row: Row) -> Question:
    """ARC's questions, and OpenBookQA's, which has another name for the field."""
    stem = "question" if "question" in row else "question_stem"
    listed = row.get("choices")
    if not isinstance(listed, dict):
        raise RowError(f"'choices' is {listed!r}, not texts and labels")
    right = place_in(texts(listed, "label"), text(row, "answerKey"), "answerKey")
    return _of_choices(_CHOOSE + text(row, stem), "answer", texts(listed, "text"), right)


def _piqa(row: Row) -> Question:
    head = f"Please choose the correct solution to the question: {text(row, 'goal')}"
    choices = [text(row, "sol1"), text(row, "sol2")]
    return _of_choices(head, "solution", choices, whole(row, "label", 2), "\n\n")


def _winogrande(row: Row) -> Question:
    head = "Please choose the correct answer to fill in the blank to complete the given sentence: "
    right = place_in(["1", "2"], text(row, "answer"), "answer")
    choices = [text(row, "option1"), text(row, "option2")]
    return _of_choices(head + text(row, "sentence"), "option", choices, right)


def _hellaswag(row: Row) -> Question:
    head = "Please choose the correct ending to complete the given sentence: "
    endings = texts(row, "endings")
    begun = f"{text(row, 'activity_label')}: {text(row, 'ctx')}"
    return _of_choices(head + begun, "ending", endings, whole(row, "label", len(endings)))


def _race(row: Row) -> Question:
    options = texts(row, "options")
    right = place_in(["A", "B", "C", "D"][: len(options)], text(row, "answer"), "answer")
    return _of_choices(
        f"{text(row, 'article')}\n\n{_CHOOSE}{text(row, 'question')}", "answer", options, right
    )


_SETS = (
    _Set("boolq", Source(("boolq",), "google/boolq", test="validation"), _boolq),
    _Set("openbookqa", Source(("openbookqa", "obqa"), "allenai/openbookqa", "main"), _arc),
    _Set("arc-easy", Source(("arceasy", "arce"), "allenai/ai2_arc", "ARC-Easy"), _arc),
    _Set("arc-challenge", Source(("arcchallenge", "arcc"), "allenai/ai2_arc", "ARC-Challenge"), _arc),
    _Set("piqa", Source(("piqa",), "baber/piqa", test="validation"), _piqa),
    _Set(
        "winogrande",
        Source(("winogrande",), "allenai/winogrande", "winogrande_xl", test="validation"),
        _winogrande,
    ),
    _Set("hellaswag", Source(("hellaswag",), "Rowan/hellaswag", test="validation"), _hellaswag),
    _Set("race", Source(("race", "racehigh"), "ehovy/race", "high"), _race),
)
TASKS = tuple(
    TaskEntry(
        each.name,
        "accuracy",
        ("causal-lm",),
        f"hub {each.source.hub}, or files of LLM-Adapters or with the hub's fields",
        each.open,
    )
    for each in _SETS
)
