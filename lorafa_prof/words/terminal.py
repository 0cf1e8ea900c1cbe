"""Text for a terminal, coloured where there is one."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO

from rich.console import Console, RenderableType

#: Wider than any line: nothing is wrapped.
ENDLESS = 100_000


def rendered(parts: Iterable[RenderableType], width: int, *, coloured: bool) -> str:
    """What rich makes of `parts`, each on a line of its own, in `width` columns; no line ends in blanks."""
    console = Console(
        file=StringIO(),
        width=width,
        force_terminal=coloured,
        color_system="standard" if coloured else None,
        highlight=False,
        legacy_windows=False,
    )
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"
