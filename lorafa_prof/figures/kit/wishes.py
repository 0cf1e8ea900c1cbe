"""What whoever draws a figure wants otherwise than its style has it: size, title, words, axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

Ground = Literal["light", "dark"]


@dataclass(frozen=True)
class AxisWish:
    """How an axis shall be: None leaves it to the figure. `limits` are in the unit that the axis shows."""

    logarithmic: bool | None = None
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Wishes:
    """What is wanted; as it is made, all is left to the style and the figure.

    Attributes:
        width: inches of the file.
        height: inches of the file.
        title: None is the figure's own, an empty one none; then notes are in the caption's file alone.
        labels: what to write instead of a name: of a method, a model, a setting in words, a metric, an axis.
        axes: by ``x`` and ``y``.
        grounds: pages to draw for, ``light`` and ``dark``; of both, the dark one's file says so in its name.
    """

    width: float | None = None
    height: float | None = None
    title: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    axes: Mapping[str, AxisWish] = field(default_factory=dict)
    grounds: tuple[Ground, ...] = ("light",)


@dataclass(frozen=True)
class Honoured:
    """Which wishes a figure had a use for: labels and axes; `texts` are all that labels could be of."""

    labels: set[str] = field(default_factory=set)
    axes: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)


NO_WISHES = Wishes()

_wishes: ContextVar[tuple[Wishes, Honoured] | None] = ContextVar("wishes", default=None)


@contextmanager
def wishing(wishes: Wishes) -> Iterator[Honoured]:
    """Draw in this context as is wished; yields what of it the figures had a use for."""
    honoured = Honoured()
    token = _wishes.set((wishes, honoured))
    try:
        yield honoured
    finally:
        _wishes.reset(token)


def current_wishes() -> Wishes:
    """Those of the context that this is called in."""
    known = _wishes.get()
    return NO_WISHES if known is None else known[0]


def said(text: str, otherwise: str | None = None) -> str:
    """What to write for `text`: the wished label; without one `otherwise`, or the text itself."""
    if (known := _wishes.get()) is not None:
        wishes, honoured = known
        honoured.texts.add(text)
        if text in wishes.labels:
            honoured.labels.add(text)
            return wishes.labels[text]
    return text if otherwise is None else otherwise


def axis_wish(name: str) -> AxisWish:
    """How the axis ``x`` or ``y`` shall be."""
    known = _wishes.get()
    if known is None or name not in known[0].axes:
        return AxisWish()
    known[1].axes.add(name)
    return known[0].axes[name]
