"""Reconciling the measured activation memory with the storages that were seen to be held."""

from __future__ import annotations

from dataclasses import dataclass

from lorafa_prof.instruments.memory.profile import MemoryProfile
from lorafa_prof.instruments.saved.recorder import SavedTensors


@dataclass(frozen=True)
class Reconciliation:
    """Activation memory = saved + held otherwise - replaced + slack + residual, all in bytes.

    Attributes:
        activation_bytes: held memory as measured.
        saved_bytes: storages autograd holds, less those that were there before the step.
        held_otherwise_bytes: other storages made in forward and still there: the loss, and what checkpointed
            regions keep beside their inputs.
        slack_bytes: allocated less requested, by the allocator's own two counters: blocks are rounded up to
            512 bytes, and a large block is split only if more than 1 MiB is left over. 0 without one.
        residual_bytes: what is left unexplained.
        replaced_bytes: what modules kept of the step before and forward let go of: what came in its place is
            held otherwise, and memory grew by nothing.
    """

    activation_bytes: int
    saved_bytes: int
    held_otherwise_bytes: int
    slack_bytes: int
    residual_bytes: int
    replaced_bytes: int = 0


def reconcile(memory: MemoryProfile, saved: SavedTensors) -> Reconciliation:
    """Return the storages seen to be held, set against the activation memory that was measured."""
    saved_bytes = saved.total_bytes - saved.from_before_bytes
    slack = memory.activation_bytes - memory.activation_requested_bytes
    held, replaced = saved.held_otherwise_bytes, saved.replaced_bytes
    residual = memory.activation_requested_bytes - saved_bytes - held + replaced
    return Reconciliation(memory.activation_bytes, saved_bytes, held, slack, residual, replaced)
