"""Multiple choice of commonsense and of reading, from the hub's fields or LLM-Adapters' files.

Either is read into the same question, which is then asked by name or by text: see `tasks/multiple_choice.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lorafa_prof.tasks.choosing import ChoiceTask, Question
from lorafa_prof.tasks.entry import Opening, TaskEntry
from lorafa_prof.tasks.items import choose_items
from lorafa_prof.tasks.multiple_choice import (
    MultipleChoice,
    Wording,
    by_name,
    by_text,
    instructed,
    instructed_by_name,
    named,
)
from lorafa_prof.tasks.rows.parts import read_parts
from lorafa_prof.tasks.rows.row import Row, RowError, place_in, text, texts, whole
from lorafa_prof.tasks.rows.source import Source
from lorafa_prof.tasks.task import Task


@dataclass(frozen=True)
class _Set:
    """A data set of questions.

    Attributes:
        name: as a scenario has it.
        source: where it is found.
        read: makes a question of the hub's fields.
        wording: how it is asked by name.
        prompt: how it is asked by text.
    """

    name: str
    source: Source
    read: Callable[[Row], MultipleChoice]
    wording: Wording
    prompt: Callable[[MultipleChoice], str]

    def ask_by_name(self, row: Row) -> Question:
        return instructed_by_name(row) if "instruction" in row else by_name(self.read(row), self.wording)

    def ask_by_text(self, row: Row) -> Question:
        item = instructed(row, self.wording) if "instruction" in row else self.read(row)
        return by_text(item, self.prompt)

    def open(self, opening: Opening) -> Task:
        ask = self.ask_by_text if opening.choice.answer_by == "text" else self.ask_by_name
        return _opened(opening, self.source, ask)


def _opened(opening: Opening, source: Source, ask: Callable[[Row], Question]) -> Task:
    parts = read_parts(opening.choice, [source])
    return ChoiceTask(opening, choose_items(opening.choice, parts, ask), "accuracy")


def _question(item: MultipleChoice) -> str:
    article = f"Article: {item.article}\n\n" if item.article else ""
    return f"{article}Question: {item.stem}\nAnswer:"


def _beginning(item: MultipleChoice) -> str:
    """Of sentences that a choice goes on with."""
    return item.stem


def _boolq(row: Row) -> Question:
    if "instruction" in row:
        return instructed_by_name(row)
    answer = row.get("answer")
    if not isinstance(answer, bool):
        raise RowError(f"'answer' is {answer!r}, not true or false")
    asked = text(row, "question").rstrip("?")
    head = f"Please answer the following question with true or false, question: {asked}?"
    return named(f"{head}\n\nAnswer format: true/false", ["true", "false"], 0 if answer else 1)


def _arc(row: Row) -> MultipleChoice:
    """ARC's questions, and OpenBookQA's, which has another name for the field."""
    stem = "question" if "question" in row else "question_stem"
    listed = row.get("choices")
    if not isinstance(listed, dict):
        raise RowError(f"'choices' is {listed!r}, not texts and labels")
    right = place_in(texts(listed, "label"), text(row, "answerKey"), "answerKey")
    return MultipleChoice(text(row, stem), tuple(texts(listed, "text")), right)


def _piqa(row: Row) -> MultipleChoice:
    return MultipleChoice(text(row, "goal"), (text(row, "sol1"), text(row, "sol2")), whole(row, "label", 2))


def _winogrande(row: Row) -> Question:
    if "instruction" in row:
        return instructed_by_name(row)
    right = place_in(["1", "2"], text(row, "answer"), "answer")
    choices = (text(row, "option1"), text(row, "option2"))
    ask = "Please choose the correct answer to fill in the blank to complete the given sentence: "
    return by_name(
        MultipleChoice(text(row, "sentence"), choices, right), Wording(ask, "option", before_format=" ")
    )


def _hellaswag(row: Row) -> MultipleChoice:
    endings = texts(row, "endings")
    begun = f"{text(row, 'activity_label')}: {text(row, 'ctx')}"
    return MultipleChoice(begun, tuple(endings), whole(row, "label", len(endings)))


def _race(row: Row) -> MultipleChoice:
    options = texts(row, "options")
    right = place_in(["A", "B", "C", "D"][: len(options)], text(row, "answer"), "answer")
    return MultipleChoice(text(row, "question"), tuple(options), right, text(row, "article"))


_ANSWER = Wording("Please choose the correct answer to the question: ")
_SOLUTION = Wording("Please choose the correct solution to the question: ", "solution", between="\n\n")
_ENDING = Wording("Please choose the correct ending to complete the given sentence: ", "ending")
_ARC_EASY = Source(("arceasy", "arce"), "allenai/ai2_arc", "ARC-Easy")
_ARC_CHALLENGE = Source(("arcchallenge", "arcc"), "allenai/ai2_arc", "ARC-Challenge")
_OPENBOOKQA = Source(("openbookqa", "obqa"), "allenai/openbookqa", "main")
_PIQA = Source(("piqa",), "baber/piqa", test="validation")
_HELLASWAG = Source(("hellaswag",), "Rowan/hellaswag", test="validation")
_RACE = Source(("race", "racehigh"), "ehovy/race", "high")
#: With choices that have texts of their own.
_SETS = (
    _Set("openbookqa", _OPENBOOKQA, _arc, _ANSWER, _beginning),
    _Set("arc-easy", _ARC_EASY, _arc, _ANSWER, _question),
    _Set("arc-challenge", _ARC_CHALLENGE, _arc, _ANSWER, _question),
    _Set("piqa", _PIQA, _piqa, _SOLUTION, _question),
    _Set("hellaswag", _HELLASWAG, _hellaswag, _ENDING, _beginning),
    _Set("race", _RACE, _race, _ANSWER, _question),
)
#: Whose choices are names already, or stand in the midst of the sentence.
_BY_NAME = (
    ("boolq", Source(("boolq",), "google/boolq", test="validation"), _boolq),
    (
        "winogrande",
        Source(("winogrande",), "allenai/winogrande", "winogrande_xl", test="validation"),
        _winogrande,
    ),
)


def _entry(name: str, source: Source, opened: Callable[[Opening], Task], *, by_text: bool) -> TaskEntry:
    data = f"hub {source.hub}, or files of LLM-Adapters or with the hub's fields"
    return TaskEntry(name, "accuracy", ("causal-lm",), data, opened, answered_by_text=by_text)


def _opening(source: Source, ask: Callable[[Row], Question]) -> Callable[[Opening], Task]:
    return lambda opening: _opened(opening, source, ask)


TASKS = (
    *(_entry(name, source, _opening(source, ask), by_text=False) for name, source, ask in _BY_NAME),
    *(_entry(each.name, each.source, each.open, by_text=True) for each in _SETS),
)
