"""The two ways to ask a question of multiple choice: by the names of its choices, or by their own texts.

By name is LLM-Adapters' way: an instruction lists the choices, and the answer names one. By text is
lm-eval's: the prompt is the question alone, and each choice may follow it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lorafa_prof.tasks.choosing import Question, question
from lorafa_prof.tasks.rows.row import Row, RowError, place_in, text

#: Names the choices, at the end of each instruction of LLM-Adapters.
_FORMAT = re.compile(r"\s*Answer format: (\S+)\s*$")


@dataclass(frozen=True)
class MultipleChoice:
    """A question with its choices, whichever way it is asked.

    Attributes:
        stem: the question, or the sentence that a choice goes on with.
        choices: their texts.
        right: which of them is the answer.
        article: what is read before; empty: nothing.
    """

    stem: str
    choices: tuple[str, ...]
    right: int
    article: str = ""


@dataclass(frozen=True)
class Wording:
    """How LLM-Adapters puts the items of a data set.

    Attributes:
        ask: goes before the stem.
        kind: of the choices' names: "answer" names answer1, answer2 and so on; empty: the choices are names
            already, and are not listed.
        between: goes between the choices.
        before_format: goes between the choices and the form of the answer.
    """

    ask: str
    kind: str = "answer"
    between: str = " "
    before_format: str = "\n\n"


def by_name(item: MultipleChoice, wording: Wording) -> Question:
    """Return the question in LLM-Adapters' words."""
    names, listed = list(item.choices), ""
    if wording.kind:
        names = [f"{wording.kind}{number}" for number in range(1, len(item.choices) + 1)]
        pairs = zip(names, item.choices, strict=True)
        listed = wording.between.join(f"{name.capitalize()}: {choice}" for name, choice in pairs)
        listed += wording.before_format
    article = f"{item.article}\n\n" if item.article else ""
    instruction = f"{article}{wording.ask}{item.stem}\n\n{listed}Answer format: {'/'.join(names)}"
    return _named(instruction, names, item.right, "the correct answer is ")


def by_text(item: MultipleChoice, prompt: str) -> Question:
    """Return the question whose choices are judged by likelihood for each character: lm-eval's `acc_norm`.

    Args:
        item: what is asked; white space around its texts is left out.
        prompt: what the model is given, with {} where the stem goes.

    Raises:
        RowError: a choice has no text.
    """
    choices = [choice.strip() for choice in item.choices]
    if not all(choices):
        raise RowError(f"choice {choices.index('') + 1} of {len(choices)} has no text to be answered by")
    article = f"Article: {item.article.strip()}\n\n" if item.article else ""
    asked = article + prompt.format(item.stem.strip())
    return question(asked, [f" {choice}" for choice in choices], item.right, list(map(len, choices)))


def instructed_by_name(row: Row) -> Question:
    """Return the question of a row of LLM-Adapters: the instruction names the choices.

    Raises:
        RowError: it is otherwise.
    """
    instruction, names, right = _read(row)
    return _named(instruction, names, right, text(row, "output").removesuffix(text(row, "answer")))


def instructed(row: Row, wording: Wording) -> MultipleChoice:
    """Return what a row of LLM-Adapters asks, with the texts of the choices that it lists.

    Raises:
        RowError: it does not begin with the wording's words, asks nothing, or it is not plain what its
            choices are: their names do not stand in it once each, in order, each with a text.
    """
    instruction, names, right = _read(row)
    if not instruction.startswith(wording.ask):
        raise RowError(f"'instruction' does not begin with {wording.ask!r}")
    listed = [name.capitalize() for name in names]
    asked = _FORMAT.sub("", instruction.removeprefix(wording.ask))
    stem, *rest = re.split(rf"\s+({'|'.join(map(re.escape, listed))}):(?=\s)", asked)
    choices = tuple(map(str.strip, rest[1::2]))
    if rest[::2] != listed or not all(choices):
        raise RowError(
            f"'instruction' does not list {', '.join(listed)} once each, in order, with their texts"
        )
    if not stem.strip():
        raise RowError("'instruction' asks nothing before it lists the choices")
    return MultipleChoice(stem, choices, right)


def _named(instruction: str, names: Sequence[str], right: int, before: str) -> Question:
    """A question whose answer is a name, after a few words."""
    return question(instruction, [f"\n\n{before}{name}" for name in names], right)


def _read(row: Row) -> tuple[str, list[str], int]:
    """The instruction, the names of the choices, and which is right."""
    instruction, output, answer = text(row, "instruction"), text(row, "output"), text(row, "answer")
    form = _FORMAT.search(instruction)
    if form is None:
        raise RowError(
            "'instruction' does not end with the form of its answer, such as 'Answer format: true/false'"
        )
    names = form[1].split("/")
    if not output.endswith(answer):
        raise RowError(f"'output' does not end with the answer, {answer!r}")
    return instruction, names, place_in(names, answer, "answer")
