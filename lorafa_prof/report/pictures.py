"""Figures inside a report: small enough to be sent by mail."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.save import SavedFigure, SkippedFigure

#: Figures have few colours, so that a palette takes a quarter of the bytes and shows the same.
_COLORS = 256


@dataclass(frozen=True)
class Picture:
    """A figure as a ``data:`` address; width and height in pixels."""

    name: str
    title: str
    address: str
    width: int
    height: int


def pictures_of(drawn: Iterable[SavedFigure | SkippedFigure]) -> list[Picture]:
    """Those that have a PNG file."""
    return [
        _picture(outcome.name, path)
        for outcome in drawn
        if isinstance(outcome, SavedFigure)
        for path in outcome.paths
        if path.suffix == ".png"
    ]


def _picture(name: str, file: Path) -> Picture:
    with Image.open(file) as image:
        flat = image.convert("RGB").quantize(_COLORS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    data = BytesIO()
    flat.save(data, "PNG", compress_level=6)  # its best takes five times as long, for a tenth less
    address = f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
    return Picture(name, FIGURES[name].title, address, flat.width, flat.height)
