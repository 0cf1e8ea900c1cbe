"""The digest of a step's requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lorafa_prof.instruments.allocations.request_digest import RequestDigest
from lorafa_prof.step import PhaseTracker


@dataclass
class Lent:
    requested_bytes: int


class Memory:
    def malloc(self, requested_bytes: int) -> Any:
        return Lent(requested_bytes)

    def free(self, block: Any) -> None:
        pass


def digest(*sizes: int, before: int = 0, freed_early: bool = False) -> str:
    told = RequestDigest(Memory(), PhaseTracker())
    if before:
        told.malloc(before)
    told.phase_started("forward")
    blocks = []
    for size in sizes:
        blocks.append(told.malloc(size))
        if freed_early:
            told.free(blocks.pop())
    for block in blocks:
        told.free(block)
    return told.hexdigest()


def test_it_changes_with_one_byte_and_with_the_order() -> None:
    assert digest(8, 16) == digest(8, 16)
    assert len({digest(8, 16), digest(8, 17), digest(16, 8), digest(8, 16, freed_early=True), digest()}) == 5


def test_what_came_before_the_last_forward_does_not_matter() -> None:
    assert digest(8, 16, before=1) == digest(8, 16)


def test_observers_are_told() -> None:
    tracker = PhaseTracker()
    RequestDigest(Memory(), tracker).phase_started("backward")
    assert tracker.phase == "backward"
