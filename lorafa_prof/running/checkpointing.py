"""What a cell's `checkpointing` asks of its device, and what its row must say of it."""

from __future__ import annotations

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.models.recompute.choice import Checkpointing


def check_checkpointing(cell: Cell) -> None:
    """Check that there is another memory to offload to.

    Raises:
        UsageError: there is none, or `checkpointing` cannot be read.
    """
    if Checkpointing.read(cell.checkpointing).offload_share and cell.device_kind == "cpu":
        raise UsageError(
            f"checkpointing '{cell.checkpointing}' moves tensors from a GPU to the host, and on the CPU they "
            "are there; set device to cuda or sim:<gpu>, or leave offload out",
            about="checkpointing",
        )


def notes_on_checkpointing(cell: Cell) -> tuple[str, ...]:
    """Return sentences that a reader of the cell's row must know."""
    share = Checkpointing.read(cell.checkpointing).offload_share
    if not share:
        return ()
    return (f"up to {share:.0%} of what layers save waits in pinned host memory, which no column counts",)
