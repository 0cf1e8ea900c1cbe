"""A word at once where a command is going to take long: importing PyTorch takes seconds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

#: What takes long to import, and what it is called; whichever comes first is told.
HEAVY = {"torch": "PyTorch", "transformers": "transformers", "pandas": "pandas", "matplotlib": "matplotlib"}


class _FirstWord(MetaPathFinder):
    """Finds nothing: it only sees what is about to be imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Say it, once; another finds the module."""
        if fullname in HEAVY:
            sys.meta_path.remove(self)
            print(f"loading {HEAVY[fullname]}", file=sys.stderr, flush=True)
        return None


def say_what_takes_long() -> None:
    """From now on the first heavy import is told on stderr; nothing is where one was made already."""
    if not HEAVY.keys() & sys.modules.keys():
        sys.meta_path.insert(0, _FirstWord())
