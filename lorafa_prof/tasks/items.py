"""Which of a data set's items are trained on, which are held out, and which are tested on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.rows.parts import Parts
from lorafa_prof.tasks.rows.row import Row, items_of
from lorafa_prof.tasks.task import Example, Split

Item = TypeVar("Item")


@dataclass(frozen=True)
class Items(Generic[Item]):
    """A task's items.

    Attributes:
        choice: whose they are.
        where: names the data, for messages.
        to_train: in the order in which they are drawn; None: there is nothing to train on.
        validation: those held out, in the data's order; None: likewise.
        test: in the data's order; None: there is nothing to test on.
        notes: how many rows were none of the task's.
    """

    choice: TaskChoice
    where: str
    to_train: Sequence[Item] | None = None
    validation: Sequence[Item] | None = None
    test: Sequence[Item] | None = None
    notes: tuple[str, ...] = ()

    def of(self, split: Split) -> Sequence[Item]:
        """Return the items to evaluate.

        Raises:
            UsageError: the data has no such split.
        """
        found = self.validation if split == "validation" else self.test
        if found is None:
            why = "nothing to train on, of which it would be held out" if split == "validation" else "none"
            raise UsageError(
                f"task '{self.choice.name}': {self.where} has no {split} split ({why}); name other data"
            )
        return found

    def drawn(self) -> Sequence[Item]:
        """Return the items to train on in the order in which they are drawn, all of them.

        Raises:
            UsageError: the data has none.
        """
        if self.to_train is None:
            raise UsageError(
                f"task '{self.choice.name}': {self.where} has nothing to train on; name other data"
            )
        return self.to_train


def choose_items(
    choice: TaskChoice,
    parts: Parts,
    parse: Callable[[Row], Item | None],
    left_out: str = "",
) -> Items[Item]:
    """Return the items of a task: a share of those to train on is held out, drawn by the choice's seed.

    Args:
        choice: how much of them.
        parts: the data.
        parse: gives an item of a row, None of one that is none of the task's.
        left_out: what such rows are, for the note on them ("neutral sentences").

    Raises:
        UsageError: a row is not as `parse` expects it, or there are too few to hold out any.
    """
    to_train = validation = test = None
    notes: tuple[str, ...] = ()
    if parts.train is not None:
        items = items_of(parts.train, parse)
        to_train, validation = _held_out(choice, items, parts.train.where)
        notes += _note(len(parts.train.rows) - len(items), "training", left_out)
    if parts.test is not None:
        items = items_of(parts.test, parse)
        test = _some(choice, items)
        notes += _note(len(parts.test.rows) - len(items), "test", left_out)
    return Items(choice, parts.where, to_train, validation, test, notes)


def _note(number: int, which: str, what: str) -> tuple[str, ...]:
    return (f"{number} {what} of the {which} data left out",) if number else ()


def _held_out(choice: TaskChoice, items: list[Item], where: str) -> tuple[list[Item], list[Item]]:
    held = math.ceil(len(items) * choice.validation)
    if held >= len(items):
        raise UsageError(f"{where} has {len(items)} items, too few to hold out {choice.validation:g} of them")
    order = _order(choice, len(items))
    validation = [items[place] for place in sorted(order[:held][: choice.eval_items])]
    return [items[place] for place in order[held:]], validation


def _some(choice: TaskChoice, items: list[Item]) -> list[Item]:
    """As many as are evaluated, in their order. They are drawn: data lies in the order of what it is of."""
    return [items[place] for place in sorted(_order(choice, len(items))[: choice.eval_items])]


def _order(choice: TaskChoice, number: int) -> list[int]:
    # Of NumPy's generators this one draws the same in each of its versions.
    order: list[int] = numpy.random.RandomState(choice.seed).permutation(number).tolist()
    return order


def fitting_examples(
    drawn: Sequence[Item], most: int | None, encode: Callable[[Sequence[Item]], list[Example | None]]
) -> tuple[list[Example], int]:
    """Return the first `most` items that fit, as examples, and how many before them were left out.

    Args:
        drawn: no more of them are encoded than are needed.
        most: None: all.
        encode: gives an example of each item, None of one that is too long.
    """
    examples: list[Example] = []
    left_out = done = 0
    wanted = len(drawn) if most is None else min(most, len(drawn))
    while len(examples) < wanted and done < len(drawn):
        some = encode(drawn[done : done + wanted - len(examples)])
        done += len(some)
        fitting = [example for example in some if example is not None]
        left_out += len(some) - len(fitting)
        examples += fitting
    return examples, left_out
