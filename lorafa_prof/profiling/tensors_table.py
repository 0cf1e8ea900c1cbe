"""Saved tensors as a table for the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from lorafa_prof.instruments.user_line import both_lines
from lorafa_prof.words.module_paths import like_modules
from lorafa_prof.words.numbers import size
from lorafa_prof.words.tables import aligned

if TYPE_CHECKING:
    from lorafa_prof.instruments.saved.recorder import SavedStorage

ROWS = 10


class _Row(NamedTuple):
    kind: str
    dtype: str
    shape: tuple[int, ...]
    line: str
    module: str


def table_of(tensors: Iterable[SavedStorage]) -> str:
    """The `ROWS` largest, equal ones that one line saved in like modules as one; one line of text if none."""
    alike: dict[_Row, list[int]] = defaultdict(list)
    for one in tensors:
        line = both_lines(one.user_line, one.line)
        alike[_Row(one.kind, one.dtype, one.shape, line, like_modules(one.module))].append(one.nbytes)
    if not alike:
        return "Autograd saved no tensors."
    ordered = sorted(alike.items(), key=lambda item: -sum(item[1]))
    head = ("bytes", "tensors", "kind", "saved at", "module")
    lines = aligned([head, *(_cells(row, sizes) for row, sizes in ordered[:ROWS])], right=[0])
    if rest := ordered[ROWS:]:
        left = sum(len(sizes) for _, sizes in rest), sum(sum(sizes) for _, sizes in rest)
        lines.append(f"and {left[0]:,} smaller ones of {size(left[1])} together")
    return "\n".join(lines)


def _cells(row: _Row, sizes: list[int]) -> tuple[str, ...]:
    what = f"{len(sizes)} × {row.dtype}[{'×'.join(map(str, row.shape))}]"
    return size(sum(sizes)), what, row.kind, row.line or "?", row.module
