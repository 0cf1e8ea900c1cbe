"""Errors a person can act on; the command line prints their one line and exits with their code."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from lorafa_prof.one_line import bounded_line


class LorafaProfError(Exception):
    """Something the user can put right. `str(error)` is one line: what, where, what to do.

    Args:
        message: that line; what it quotes of others may have line breaks and any length, the line has not.
        about: the setting at fault ("rank"), by which its place in a scenario is found.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, about: str | None = None) -> None:
        super().__init__(bounded_line(message))
        self.about = about


class UsageError(LorafaProfError):
    """A wrong option or argument, or something missing on this machine; exit code 2."""

    exit_code: ClassVar[int] = 2


class NothingToJudgeError(LorafaProfError):
    """There are no rows, or none that can be compared; exit code 4."""

    exit_code: ClassVar[int] = 4


class ScenarioError(UsageError):
    """An invalid scenario. The line names file, line and key as far as they are known.

    Args:
        message: what is wrong and what to do.
        file: the scenario file, if it came from one.
        line: 1-based line in `file`.
        key: dotted path of the offending key, such as ``method[1].rank``.
    """

    def __init__(
        self,
        message: str,
        *,
        file: Path | str | None = None,
        line: int | None = None,
        key: str | None = None,
    ) -> None:
        self.message = message
        self.file = file
        self.line = line
        self.key = key
        place = str(file) if file is not None else ""
        if line is not None:
            place = f"{place}:{line}" if place else f"line {line}"
        super().__init__(": ".join(part for part in (place, key, message) if part))


#: Of another's text so much is told: an exception may hold megabytes, which no row and no terminal is for.
MOST_CHARACTERS = 500


def first_line(error: BaseException) -> str:
    """The first line of an error's text, bounded, or its type where it has none."""
    return _first_line_of_text(error) or type(error).__name__


def described(error: BaseException) -> str:
    """An error's type and the first line of its text, if it has any: "ValueError: too large"."""
    name, line = type(error).__name__.lstrip("_"), _first_line_of_text(error)
    return f"{name}: {line}" if line else name


def text_of(error: BaseException) -> str:
    """An error's text; empty where code of others raised what cannot even be told."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001
        return ""


def _first_line_of_text(error: BaseException) -> str:
    lines = text_of(error)[: 100 * MOST_CHARACTERS].strip().splitlines()
    return bounded_line(lines[0], MOST_CHARACTERS) if lines else ""
