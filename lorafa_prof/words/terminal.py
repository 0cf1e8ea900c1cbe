"""Text for a terminal, coloured where there is one."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from io import StringIO

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.segment import Segment

from lorafa_prof.one_line import harmless_lines

#: Wider than any line: nothing is wrapped.
ENDLESS = 100_000


def rendered(parts: Iterable[RenderableType], width: int, *, coloured: bool) -> str:
    """What rich makes of `parts`, each on a line of its own, in `width` columns; no line ends in blanks.

    Text of others in them steers nothing; what is to line up or to be wrapped is made `harmless` before.
    """
    console = Console(
        file=StringIO(),
        width=width,
        force_terminal=coloured,
        color_system="standard" if coloured else None,
        highlight=False,
        legacy_windows=False,
    )
    console.push_render_hook(_Harmless())
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def wrapped(text: str, width: int, indent: str = "") -> str:
    """The lines of `text` broken between words at `width` columns; what follows a break begins with `indent`.

    Words, such as paths and commands' options, are never cut.
    """
    return "\n".join(
        textwrap.fill(
            line,
            width,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
        )
        for line in text.split("\n")
    )


class _Harmless(RenderHook):
    """Puts each part that a console prints into a `_HarmlessPart`."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """What the console asks before it prints."""
        return [_HarmlessPart(part) for part in renderables]


class _HarmlessPart:
    """A part whose text, once rich has laid it out, steers no terminal."""

    def __init__(self, part: ConsoleRenderable) -> None:
        self._part = part

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The part's segments; colours are no text of theirs."""
        for text, style, control in console.render(self._part, options):
            yield Segment(text if control else harmless_lines(text), style, control)
