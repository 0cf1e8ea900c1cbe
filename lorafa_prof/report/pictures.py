"""Figures inside a report, for light pages and dark ones: small enough to be sent by mail."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.kit.page import SHARED
from lorafa_prof.figures.save import SavedFigure, SkippedFigure

#: Figures have few colours, so that a palette takes a quarter of the bytes and shows the same.
_COLORS = 256


@dataclass(frozen=True)
class Picture:
    """A figure as ``data:`` addresses; width and height in pixels; `about` is what all its cells share."""

    name: str
    title: str
    about: str
    light: str
    dark: str
    width: int
    height: int


def pictures_of(drawn: Iterable[SavedFigure | SkippedFigure]) -> list[Picture]:
    """Those that were drawn, as PNG for light pages and for dark ones."""
    return [_picture(outcome) for outcome in drawn if isinstance(outcome, SavedFigure)]


def _picture(drawn: SavedFigure) -> Picture:
    light, dark = drawn.paths
    shared = [sentence for sentence in drawn.caption if sentence.startswith(SHARED)]
    address, (width, height) = _address(light)
    title = FIGURES[drawn.name].title
    return Picture(drawn.name, title, " ".join(shared), address, _address(dark)[0], width, height)


def _address(file: Path) -> tuple[str, tuple[int, int]]:
    """The picture itself, and its width and height."""
    with Image.open(file) as image:
        flat = image.convert("RGB").quantize(_COLORS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    data = BytesIO()
    flat.save(data, "PNG", compress_level=6)  # its best takes five times as long, for a tenth less
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}", flat.size
