"""Does the measured activation memory reconcile with the tensors autograd is seen to hold?"""

from __future__ import annotations

from dataclasses import dataclass

from lorafa_prof.instruments.saved import SavedTensors

CUDA_BLOCK_BYTES = 512  # c10/cuda/CUDACachingAllocator.cpp, kMinBlockSize


@dataclass(frozen=True)
class Reconciliation:
    """Activation memory = saved + loss + rounding + residual, all in bytes.

    Attributes:
        activation_bytes: measured.
        saved_bytes: storages autograd holds, less those that were there before the step.
        loss_bytes: the loss, held by the step itself.
        rounding_bytes: what the allocator adds to fill up blocks; 0 where none does.
        residual_bytes: what is left unexplained.
    """

    activation_bytes: int
    saved_bytes: int
    loss_bytes: int
    rounding_bytes: int
    residual_bytes: int


def reconcile(activation_bytes: int, saved: SavedTensors, loss_bytes: int, block_bytes: int) -> Reconciliation:
    """Set saved tensors against the measured activation, for an allocator with blocks of `block_bytes`."""
    sizes = [storage.nbytes for storage in saved.storages if not storage.from_before]
    rounding = sum(-size % block_bytes for size in [*sizes, loss_bytes])
    explained = sum(sizes) + loss_bytes + rounding
    return Reconciliation(activation_bytes, sum(sizes), loss_bytes, rounding, activation_bytes - explained)
