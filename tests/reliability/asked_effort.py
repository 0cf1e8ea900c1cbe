"""How much a test of reliability does: little in the test suite, as much as is asked for by hand."""

from __future__ import annotations

import os


def effort(variable: str, little: int) -> int:
    """The number in the environment variable `variable`, or `little`."""
    return int(os.environ.get(variable) or little)
