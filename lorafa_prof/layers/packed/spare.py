"""Gradients with room beside them, so that the product that reads one takes an adapter's part along.

A gradient [.., h] that is the left part of a buffer [n, h + columns] of its own carries that buffer as an
attribute through autograd, which hands on the very tensor that a backward returned, unless it is added to
another.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor


def with_spare(buffer: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the left part of buffer [n, h + columns] as a gradient of `shape` [.., h] that carries it."""
    gradient = buffer[:, : shape[-1]].view(shape)
    gradient.spare = buffer  # type: ignore[attr-defined]
    return gradient


def room_beside(gradient: Tensor, columns: int) -> Tensor:
    """Return [gradient, room] [n, h + columns] for a gradient [.., h]; a copy, if it has no room."""
    width = gradient.shape[-1]
    buffer = cast("Tensor | None", getattr(gradient, "spare", None))
    if buffer is not None and buffer.shape[1] >= width + columns:
        return buffer[:, : width + columns]
    rows = gradient.reshape(-1, width)
    if not columns:
        return rows
    buffer = rows.new_empty(len(rows), width + columns)
    buffer[:, :width] = rows
    return buffer
