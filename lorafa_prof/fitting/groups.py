"""Answers that are told of together: those of one model on one GPU."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lorafa_prof.fitting.answer import Answer


@dataclass(frozen=True)
class Group:
    """The answers of `model` on `gpu`."""

    model: str
    gpu: str
    answers: tuple[Answer, ...]

    @property
    def fitting(self) -> list[Answer]:
        """Those that fit, with the most memory left first."""
        return sorted((each for each in self.answers if each.fit.fits), key=lambda each: -each.fit.left_bytes)

    @property
    def too_large(self) -> list[Answer]:
        """Those that do not, the nearest to it first."""
        return sorted(
            (each for each in self.answers if not each.fit.fits), key=lambda each: -each.fit.left_bytes
        )

    @property
    def nearest(self) -> Answer:
        """Of those that do not fit, what lacks the least."""
        return self.too_large[0]


def groups_of(answers: Iterable[Answer]) -> list[Group]:
    """All of them, in their order."""
    found: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        cell = answer.fit.asked.cell
        found.setdefault((cell.model.name, cell.gpu or "-"), []).append(answer)
    return [Group(model, gpu, tuple(members)) for (model, gpu), members in found.items()]
