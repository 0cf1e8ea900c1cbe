"""What a cell's `launch` asks of its device and its step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.models.attention import FLEX
from lorafa_prof.models.kernels import COMPILE, LIGER, PACKED

GRAPH = "graph"


def check_launch(cell: Cell) -> None:
    """Check that the cell's step, if it is to be captured, leaves nothing to the host.

    Raises:
        UsageError: it does; the line says what, and which setting goes with graphs.
    """
    if cell.launch != GRAPH:
        return
    reason = next(_reasons(cell), None)
    if reason is not None:
        raise UsageError(f"launch 'graph' {reason}, or launch to eager", about="launch")


def _reasons(cell: Cell) -> Iterator[str]:
    """Yield why the cell's step is not captured, each with what to set instead."""
    if cell.device_kind == "cpu":
        yield "makes CUDA graphs, and this runs on a CPU; set device to cuda"
    if cell.is_evaluation:
        yield "captures training steps, and an evaluation moves its results to the host; set phase to train"
    if cell.lengths:
        yield "captures a step of one length, and seq has different ones; set seq to a number"
    if cell.padding or cell.packing:
        setting = f"padding {cell.padding}" if cell.padding else "packing"
        yield (
            f"does not go with {setting}: the host looks up where documents end in each step; set "
            "padding to 0 and packing to false"
        )
    if cell.kernels == COMPILE:
        yield "does not go with kernels 'compile', which decide on the host what runs; set kernels to eager"
    if cell.kernels == LIGER:
        yield (
            "does not go with kernels 'liger', whose loss waits for a count of tokens; set kernels to eager, "
            "fused or packed"
        )
    if cell.kernels == PACKED and cell.method.options.get("dropout"):
        yield (
            "does not go with dropout in kernels 'packed', whose seed the host draws in each step and a "
            "graph would freeze; set dropout to 0, or kernels to eager or fused, whose dropout is new in "
            "each replay"
        )
    if cell.attention == FLEX:
        yield f"does not go with attention '{FLEX}', which is compiled; set attention to sdpa"
    if cell.checkpointing != "none":
        yield (
            f"does not go with checkpointing '{cell.checkpointing}', which keeps tensors or the state of the "
            "random generator on the host; set checkpointing to none"
        )
    if cell.update == "backward":
        yield "captures one update at the step's end; set update to step"
    if cell.autocast == "fp16":
        yield (
            "does not go with autocast 'fp16', where the host looks whether gradients are finite; set "
            "autocast to bf16"
        )


def stream_of(cell: Cell) -> AbstractContextManager[object]:
    """Return the context in which the cell runs on a GPU: a stream beside CUDA's own if it is captured.

    All of it runs there, from the model's weights on: libraries keep their workspaces by stream, and what the
    allocator frees in one stream serves that one alone.
    """
    return torch.cuda.stream(torch.cuda.Stream()) if cell.launch == GRAPH else nullcontext()
