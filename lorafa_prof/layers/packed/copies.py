"""Copies of A's and B's in the buffers of packed products, all of a model's made by one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorafa_prof.layers.operations import define


def _copy_blocks(table: Tensor, sources: Sequence[Tensor], places: Sequence[Tensor]) -> None:
    for source, place in zip(sources, places, strict=True):
        place.copy_(source)


#: Copy every source [m, r], dense, to its place [m, r], whose rows are dense, of the same type. Of each,
#: `table` [n, 5] has the addresses of source and place, m, r, and the numbers from row to row of the place.
copy_blocks = define(
    "copy_blocks(Tensor table, Tensor[] sources, Tensor(a!)[] places)", _copy_blocks, "copies.copy_blocks"
)

#: The operation's table, among the body's buffers.
_TABLE = "packed_copies"


@dataclass
class Copied:
    """A parameter that a buffer has a copy of, times `factor`.

    Attributes:
        parameter: A or B.
        place: the copy, a view of the buffer.
        factor: what the copy is multiplied by.
        seen: address and version of what was copied last.
        fresh: whether it is known to be up to date, without a look.
    """

    parameter: nn.Parameter
    place: Tensor
    factor: float
    seen: tuple[int, int] | None = None
    fresh: bool = False

    def is_stale(self) -> bool:
        """Return whether it may differ: optimizers need not tell of what they write to what trains."""
        return self.parameter.requires_grad or self._now() != self.seen

    def refresh(self) -> None:
        """Copy what may have changed."""
        if not self.fresh and self.is_stale():
            if self.factor == 1.0:
                self.place.copy_(self.parameter)
            else:
                torch.mul(self.parameter, self.factor, out=self.place)
            self.seen = self._now()

    def is_for_the_table(self) -> bool:
        """Return whether `copy_blocks` can make it, and it changes from step to step."""
        return (
            self.parameter.requires_grad
            and self.factor == 1.0
            and self.parameter.dtype == self.place.dtype
            and self.parameter.is_contiguous()
        )

    def note_copied(self) -> None:
        """Note that it was copied, and is fresh."""
        self.seen, self.fresh = self._now(), True

    def _now(self) -> tuple[int, int]:
        return self.parameter.data_ptr(), self.parameter._version


class Copies:
    """All copies of a model: made anew before its first layer runs, and fresh until its last one has."""

    def __init__(self, body: nn.Module, copied: Sequence[Copied]) -> None:
        """Make them whenever `body` begins a forward. Layers that run by themselves see to their own."""
        self._body = body
        self._copied = copied
        self._together = [copied for copied in copied if copied.is_for_the_table()]
        self._addresses: list[int] = []
        self._make_table()
        body.register_forward_pre_hook(lambda *_: self._begin())
        body.register_forward_hook(lambda *_: self._end(), always_call=True)

    def _begin(self) -> None:
        with torch.no_grad():
            if any(copied.is_stale() for copied in self._together):
                self._copy_together()
            for copied in self._copied:
                copied.refresh()
                copied.fresh = True

    def _end(self) -> None:
        for copied in self._copied:
            copied.fresh = False

    def _copy_together(self) -> None:
        if self._addresses != self._addresses_now():
            self._make_table()
        places = [copied.place for copied in self._together]
        copy_blocks(self._body.get_buffer(_TABLE), [copied.parameter for copied in self._together], places)
        for copied in self._together:
            copied.note_copied()

    def _make_table(self) -> None:
        """Put the operation's table among the buffers of the body, as something that the model has."""
        self._addresses = self._addresses_now()
        if self._together:
            rows = [
                [address, copied.place.data_ptr(), *copied.place.shape, copied.place.stride(0)]
                for address, copied in zip(self._addresses, self._together, strict=True)
            ]
            table = torch.tensor(rows, dtype=torch.int64, device=self._together[0].place.device)
            self._body.register_buffer(_TABLE, table, persistent=False)

    def _addresses_now(self) -> list[int]:
        return [copied.parameter.data_ptr() for copied in self._together]
