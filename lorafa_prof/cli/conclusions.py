"""Telling what a run comes to, before its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lorafa_prof.cli.say import put_whole, say
from lorafa_prof.one_line import harmless

if TYPE_CHECKING:
    from lorafa_prof.concluding.next_looks import NextLook


def tell_conclusions(sentences: Sequence[str], looks: Sequence[NextLook] = ()) -> None:
    """Say them on stderr, each a paragraph of its own, and what to look at next; of none nothing."""
    if not (sentences or looks):
        return
    say("\nin short")
    for sentence in sentences:
        say(f"- {sentence}", indent="  ")
    for look in looks:
        say(f"- To see {look.shows}:", indent="  ")
        # Never broken, so that it can be copied.
        put_whole(f"  {harmless(look.command)}\n", on_stderr=True)
    say()
