"""What a reader of a prediction must know, each thing said once."""

from __future__ import annotations


class Notes:
    """Sentences, the first one of each kind."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def once(self, kind: str, sentence: str) -> None:
        """Keep a sentence, unless there is one of its kind."""
        self._told.setdefault(kind, sentence)

    def all(self) -> list[str]:
        """Return them, in the order in which they came."""
        return list(self._told.values())
