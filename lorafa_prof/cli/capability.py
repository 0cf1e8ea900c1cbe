"""What `lorafa-prof doctor` says of one thing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Capability:
    """One thing this machine can or cannot do.

    Attributes:
        name: what it is for.
        ok: whether it can be used here.
        reason: what was found.
        remedy: what to do about it; empty if nothing is to be done.
    """

    name: str
    ok: bool
    reason: str
    remedy: str = ""
