"""Does the measured activation memory reconcile with the storages seen to be held?"""

from __future__ import annotations

from dataclasses import dataclass

from lorafa_prof.instruments.saved import SavedTensors

CUDA_BLOCK_BYTES = 512  # c10/cuda/CUDACachingAllocator.cpp, kMinBlockSize


@dataclass(frozen=True)
class Reconciliation:
    """Activation memory = saved + held otherwise + rounding + residual, all in bytes.

    Attributes:
        activation_bytes: measured.
        saved_bytes: storages autograd holds, less those that were there before the step.
        held_otherwise_bytes: other storages made in forward and still there: the loss, and what checkpointed
            regions keep beside their inputs.
        rounding_bytes: what the allocator adds to fill up blocks; 0 where none does.
        residual_bytes: what is left unexplained.
    """

    activation_bytes: int
    saved_bytes: int
    held_otherwise_bytes: int
    rounding_bytes: int
    residual_bytes: int


def reconcile(activation_bytes: int, saved: SavedTensors, block_bytes: int) -> Reconciliation:
    """Set what is seen to be held against the measured activation, for blocks of `block_bytes`."""
    sizes = [storage.nbytes for storage in saved.storages if not storage.from_before]
    others = [storage.nbytes for storage in saved.held_otherwise]
    rounding = sum(-size % block_bytes for size in [*sizes, *others])
    residual = activation_bytes - sum(sizes) - sum(others) - rounding
    return Reconciliation(activation_bytes, sum(sizes), sum(others), rounding, residual)
