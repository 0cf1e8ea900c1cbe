"""What cells and methods are called in a sentence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lorafa_prof.cell import twin_gpu
from lorafa_prof.figures.kit.points import SETTINGS, Point, phrase, varying

#: Names of methods as papers write them; others are called as in a scenario.
_METHODS = {
    "full-ft": "full fine-tuning",
    "lora": "LoRA",
    "lora-fa": "LoRA-FA",
    "lora-fa-uncorrected": "LoRA-FA without its correction",
    "peft-lora": "PEFT's LoRA",
    "peft-lora-fa": "PEFT's LoRA-FA",
}
#: Said of two cells that are compared, also where all cells of the run share it.
_SIZE = ("rank", "batch", "seq")


def method_name(method: str) -> str:
    """What people call a method: "LoRA-FA"."""
    return _METHODS.get(method, method)


def sentence(text: str) -> str:
    """The text with a capital at its start and a full stop at its end."""
    return f"{text[:1].upper()}{text[1:]}."


def gpu_name(point: Point) -> str:
    """The GPU that a cell is measured or predicted on: "h100-80gb"."""
    where = str(point.settings["where"] or "an unknown device")
    return twin_gpu(where) or where


@dataclass(frozen=True)
class Naming:
    """Names of the cells of a run: of their settings only those that differ within it are said.

    Attributes:
        varying: names of these settings.
        several_models: whether the model is one of them.
    """

    varying: tuple[str, ...]
    several_models: bool

    @classmethod
    def of(cls, points: Sequence[Point]) -> Naming:
        """How the cells of this run are called."""
        return cls(varying(points), len({point.model for point in points}) > 1)

    def pair(self, one: Point, other: Point) -> str:
        """What two cells have in common: their size, and what else differs in the run."""
        shared = [name for name in SETTINGS if name in (*_SIZE, *self.varying)]
        alike = [name for name in shared if None in (values := _values(name, one, other)) or len(values) == 1]
        return self._said(one if one.settings["rank"] is not None else other, alike, with_model=True)

    def settings(self, point: Point, without: Collection[str] = ()) -> str:
        """What of a cell's settings differs in the run, but for some: "rank 64, batch 8"."""
        names = [name for name in SETTINGS if name in self.varying and name not in without]
        return self._said(point, names, with_model="model" not in without)

    def cell(self, point: Point, without: Collection[str] = ()) -> str:
        """A cell: "LoRA (rank 64, batch 8)"."""
        settings = self.settings(point, without)
        return f"{method_name(point.method)} ({settings})" if settings else method_name(point.method)

    def _said(self, point: Point, names: Sequence[str], *, with_model: bool) -> str:
        model = [point.model] if self.several_models and with_model else []
        return ", ".join([*model, *filter(None, (said(name, point.settings[name]) for name in names))])


def said(name: str, value: str | int | float | None) -> str:
    """A setting in words for a sentence: "rank 64"."""
    if value is None:
        return ""
    if name == "where":
        return f"on {twin_gpu(str(value)) or value}"
    return f"rank {value}" if name == "rank" else phrase(name, value)


def _values(name: str, *points: Point) -> set[str | int | float | None]:
    return {point.settings[name] for point in points}
