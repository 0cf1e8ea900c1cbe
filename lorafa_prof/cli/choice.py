"""Options and arguments that take one of a few words."""

from __future__ import annotations

from typing import Any

import click

from lorafa_prof.registry import nearest


class Choice(click.Choice[str]):
    """One of a few words; of another one the nearest is told."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """What is told of a word that is none of them."""
        del ctx
        return f"there is no '{value}'{nearest(str(value), self.choices)}; it takes {', '.join(self.choices)}"
