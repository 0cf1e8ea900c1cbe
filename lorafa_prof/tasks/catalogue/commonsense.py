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
        prompt: how it is asked by text, with {} where the stem goes; empty: it is not.
    """

    name: str
    source: Source
    read: Callable[[Row], MultipleChoice]
    wording: Wording
    prompt: str

    def ask_by_name(self, row: Row) -> Question:
        return instructed_by_name(row) if "instruction" in row else by_name(self.read(row), self.wording)

    def ask_by_text(self, row: Row) -> Question:
        item = instructed(row, self.wording) if "instruction" in row else self.read(row)
        return by_text(item, self.prompt)

    def open(self, opening: Opening) -> Task:
        ask = self.ask_by_text if opening.choice.answer_by == "text" else self.ask_by_name
        parts = read_parts(opening.choice, [self.source])
        return ChoiceTask(opening, choose_items(opening.choice, parts, ask), "accuracy")


def _boolq(row: Row) -> MultipleChoice:
    answer = row.get("answer")
    if not isinstance(answer, bool):
        raise RowError(f"'answer' is {answer!r}, not true or false")
    return MultipleChoice(f"{text(row, 'question').rstrip('?')}?", ("true", "false"), 0 if answer else 1)


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


def _winogrande(row: Row) -> MultipleChoice:
    right = place_in(["1", "2"], text(row, "answer"), "answer")
    return MultipleChoice(text(row, "sentence"), (text(row, "option1"), text(row, "option2")), right)


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
_TRUE_OR_FALSE = Wording("Please answer the following question with true or false, question: ", kind="")
_OPTION = Wording(
    "Please choose the correct answer to fill in the blank to complete the given sentence: ",
    "option",
    before_format=" ",
)
#: lm-eval's prompts, of questions and of sentences that a choice goes on with.
_QUESTION, _BEGINNING = "Question: {}\nAnswer:", "{}"
#: BoolQ's choices are names already, and WinoGrande's stand in the midst of the sentence.
_NOT_BY_TEXT = ""
_BOOLQ = Source(("boolq",), "google/boolq", test="validation")
_OPENBOOKQA = Source(("openbookqa", "obqa"), "allenai/openbookqa", "main")
_ARC_EASY = Source(("arceasy", "arce"), "allenai/ai2_arc", "ARC-Easy")
_ARC_CHALLENGE = Source(("arcchallenge", "arcc"), "allenai/ai2_arc", "ARC-Challenge")
_PIQA = Source(("piqa",), "baber/piqa", test="validation")
_WINOGRANDE = Source(("winogrande",), "allenai/winogrande", "winogrande_xl", test="validation")
_HELLASWAG = Source(("hellaswag",), "Rowan/hellaswag", test="validation")
_RACE = Source(("race", "racehigh"), "ehovy/race", "high")
_SETS = (
    _Set("boolq", _BOOLQ, _boolq, _TRUE_OR_FALSE, _NOT_BY_TEXT),
    _Set("openbookqa", _OPENBOOKQA, _arc, _ANSWER, _BEGINNING),
    _Set("arc-easy", _ARC_EASY, _arc, _ANSWER, _QUESTION),
    _Set("arc-challenge", _ARC_CHALLENGE, _arc, _ANSWER, _QUESTION),
    _Set("piqa", _PIQA, _piqa, _SOLUTION, _QUESTION),
    _Set("winogrande", _WINOGRANDE, _winogrande, _OPTION, _NOT_BY_TEXT),
    _Set("hellaswag", _HELLASWAG, _hellaswag, _ENDING, _BEGINNING),
    _Set("race", _RACE, _race, _ANSWER, _QUESTION),
)
TASKS = tuple(
    TaskEntry(
        each.name,
        "accuracy",
        ("causal-lm",),
        f"hub {each.source.hub}, or files of LLM-Adapters or with the hub's fields",
        each.open,
        answered_by_text=bool(each.prompt),
    )
    for each in _SETS
)
