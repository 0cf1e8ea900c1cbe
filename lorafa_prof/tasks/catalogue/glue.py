"""The tasks of GLUE, and SST-2 from the treebank's own trees too.

On a classification head the sentences are encoded as they are; a causal model is asked in the words of
lm-eval's tasks, with an answer of one word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafa_prof.tasks.choosing import ChoiceTask, Question, question
from lorafa_prof.tasks.classifying import ClassificationTask, Labelled
from lorafa_prof.tasks.entry import Opening, TaskEntry
from lorafa_prof.tasks.items import choose_items
from lorafa_prof.tasks.rows.parts import read_parts
from lorafa_prof.tasks.rows.row import Row, place_in, text, whole
from lorafa_prof.tasks.rows.source import Source
from lorafa_prof.tasks.rows.table import read_headless_tsv, read_json, read_tsv
from lorafa_prof.tasks.rows.trees import read_trees
from lorafa_prof.tasks.task import Task


@dataclass(frozen=True)
class _Set:
    """One of GLUE's sets.

    Attributes:
        name: as a scenario and the hub have it.
        stems: what its files and folders are called.
        fields: of its sentences, each by the names that tables and the hub have for it.
        label: the field of the class, likewise.
        classes: their names in tables, in the hub's order; tables that have the number need none.
        prompt: asks a causal model, {0} and {1} being the sentences.
        answers: of a causal model, by class.
        metric: accuracy, or what is usual for it.
        headless: the names of a table's columns where it has no line of them.
    """

    name: str
    stems: tuple[str, ...]
    fields: tuple[tuple[str, ...], ...]
    prompt: str
    answers: tuple[str, ...]
    label: tuple[str, ...] = ("label",)
    classes: tuple[str, ...] = ()
    metric: str = "accuracy"
    headless: tuple[str, ...] = ()

    def sources(self) -> list[Source]:
        read = read_headless_tsv(*self.headless) if self.headless else read_tsv
        hub_test = "validation_matched" if self.name == "mnli" else "validation"
        # GLUE keeps the labels of its tests to itself.
        tables = Source(
            self.stems,
            "nyu-mll/glue",
            self.name,
            test=hub_test,
            files_test=("dev",),
            readers=((".tsv", read), (".json", read_json), (".jsonl", read_json)),
        )
        trees = Source(self.stems, readers=((".txt", read_trees),))
        return [trees, tables] if self.name == "sst2" else [tables]

    def parse(self, row: Row) -> Labelled | None:
        first, *second = (text(row, _there(row, names)) for names in self.fields)
        label = _there(row, self.label)
        if label in row and row[label] is None:
            return None
        if isinstance(row.get(label), str) and self.classes:
            found = place_in(self.classes, row[label], label)
        else:
            found = whole(row, label, len(self.answers))
        return Labelled(first, second[0] if second else None, found)

    def ask(self, row: Row) -> Question | None:
        item = self.parse(row)
        if item is None:
            return None
        return question(
            self.prompt.format(item.text, item.pair), [f" {word}" for word in self.answers], item.label
        )

    def open(self, opening: Opening) -> Task:
        parts = read_parts(opening.choice, self.sources())
        if opening.kind == "classification":
            items = choose_items(opening.choice, parts, self.parse, _LEFT_OUT)
            return ClassificationTask(opening, items, self.metric, len(self.answers))
        return ChoiceTask(opening, choose_items(opening.choice, parts, self.ask, _LEFT_OUT), self.metric)


def _there(row: Row, names: Sequence[str]) -> str:
    return next((name for name in names if name in row), names[0])


#: What the treebank has beside GLUE's two classes.
_LEFT_OUT = "neutral sentences"
_SAME = "Question: Do both sentences mean the same thing?\nAnswer:"
_SETS = (
    _Set(
        name="sst2",
        stems=("sst2", "sst"),
        fields=(("sentence",),),
        prompt="{0}\nQuestion: Is this sentence positive or negative?\nAnswer:",
        answers=("negative", "positive"),
    ),
    _Set(
        name="cola",
        stems=("cola",),
        fields=(("sentence",),),
        prompt="{0}\nQuestion: Does this sentence make sense?\nAnswer:",
        answers=("no", "yes"),
        metric="matthews",
        headless=("source", "label", "mark", "sentence"),
    ),
    _Set(
        name="mrpc",
        stems=("mrpc",),
        fields=(("sentence1", "#1 String"), ("sentence2", "#2 String")),
        label=("label", "Quality"),
        prompt="Sentence 1: {0}\nSentence 2: {1}\n" + _SAME,
        answers=("no", "yes"),
    ),
    _Set(
        name="qqp",
        stems=("qqp",),
        fields=(("question1",), ("question2",)),
        label=("label", "is_duplicate"),
        prompt="Question 1: {0}\nQuestion 2: {1}\nQuestion: Do both questions ask the same thing?\nAnswer:",
        answers=("no", "yes"),
    ),
    _Set(
        name="mnli",
        stems=("mnli",),
        fields=(("premise", "sentence1"), ("hypothesis", "sentence2")),
        label=("label", "gold_label"),
        classes=("entailment", "neutral", "contradiction"),
        prompt="{0}\nQuestion: {1} True, False or Neither?\nAnswer:",
        answers=("True", "Neither", "False"),
    ),
    _Set(
        name="qnli",
        stems=("qnli",),
        fields=(("question",), ("sentence",)),
        classes=("entailment", "not_entailment"),
        prompt="{0}\n{1}\nQuestion: Does this response answer the question?\nAnswer:",
        answers=("yes", "no"),
    ),
    _Set(
        name="rte",
        stems=("rte",),
        fields=(("sentence1",), ("sentence2",)),
        classes=("entailment", "not_entailment"),
        prompt="{0}\nQuestion: {1} True or False?\nAnswer:",
        answers=("True", "False"),
    ),
    _Set(
        name="wnli",
        stems=("wnli",),
        fields=(("sentence1",), ("sentence2",)),
        prompt="{0}\nQuestion: {1} True or False?\nAnswer:",
        answers=("False", "True"),
    ),
)
TASKS = tuple(
    TaskEntry(
        each.name,
        each.metric,
        ("classification", "causal-lm"),
        "hub nyu-mll/glue, or GLUE's tables"
        + (", or the treebank's binary trees" if each.name == "sst2" else ""),
        each.open,
    )
    for each in _SETS
)
