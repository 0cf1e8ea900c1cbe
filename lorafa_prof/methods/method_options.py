"""The base of a method's options, which needs no PyTorch."""

from __future__ import annotations

from typing import ClassVar

from lorafa_prof.frozen_data import Frozen


class MethodOptions(Frozen):
    """Base of a method's options. Every field is an axis of the sweep.

    Attributes:
        added_later: options that came after the first ids of cells were given. A cell has them not at their
            defaults, so that one of before keeps its id and its record.
        undivided: options of which one value may have commas, so that a command line's is not divided there.
    """

    added_later: ClassVar[tuple[str, ...]] = ()
    undivided: ClassVar[tuple[str, ...]] = ()
