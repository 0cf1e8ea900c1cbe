"""Aligning two sequences of allocating operations: which operation of one is which of the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Key(NamedTuple):
    """The name and sizes by which two operations are the same."""

    name: str
    sizes: tuple[int, ...]


#: Indices on both sides; None: it is not on that side.
AlignedPair = tuple[int | None, int | None]

#: So many differences are searched for the best way through; past them the search starts anew from the
#: furthest place reached. The work grows with the square of it, and real differences come in small groups.
SEARCH = 300


def align(gpu: Sequence[Key], twin: Sequence[Key], search: int = SEARCH) -> list[AlignedPair]:
    """Pair the keys of both sides in order, with the fewest differences.

    A key that only one side has is one difference, and so is a pair of the same name with other sizes; keys
    of different names are never paired.

    Args:
        gpu: keys of the GPU's operations.
        twin: keys of the twin's operations.
        search: the most differences that are searched for; see `SEARCH`.
    """
    pairs: list[AlignedPair] = []
    i = j = 0
    while i < len(gpu) or j < len(twin):
        part = _best_way(gpu[i:], twin[j:], search)
        pairs += [(None if a is None else a + i, None if b is None else b + j) for a, b in part]
        i += sum(a is not None for a, _ in part)
        j += sum(b is not None for _, b in part)
    return pairs


def _best_way(gpu: Sequence[Key], twin: Sequence[Key], search: int) -> list[AlignedPair]:
    """Return pairs from both starts to the ends, or to the furthest place within `search` differences.

    Ukkonen's algorithm: after each number of differences, how far one gets on each diagonal (index on the
    GPU's side less index on the twin's).
    """
    reached: list[dict[int, int]] = []
    for differences in range(search + 1):
        before = reached[-1] if reached else {}
        diagonals = range(-differences, differences + 1)
        now = {}
        for diagonal in diagonals if before else (0,):
            i = _furthest(gpu, twin, before, diagonal) if before else 0
            if i is not None:
                now[diagonal] = _slide(gpu, twin, i, diagonal)
        reached.append(now)
        end = len(gpu) - len(twin)
        if now.get(end) == len(gpu):
            return _way_back(gpu, twin, reached, end)
    # Where both sides together are furthest; of several such places, where they are so side by side.
    furthest = max(reached[-1], key=lambda diagonal: (2 * reached[-1][diagonal] - diagonal, -abs(diagonal)))
    return _way_back(gpu, twin, reached, furthest)


def _furthest(gpu: Sequence[Key], twin: Sequence[Key], before: dict[int, int], diagonal: int) -> int | None:
    """Return how far on the GPU's side one more difference gets on `diagonal`; None: not onto it."""
    return max((i for i, _ in _moves(gpu, twin, before, diagonal)), default=None)


def _moves(
    gpu: Sequence[Key], twin: Sequence[Key], before: dict[int, int], diagonal: int
) -> list[tuple[int, int]]:
    """Return where each kind of difference leads on `diagonal`, and from which diagonal, likeliest first."""
    moves = []
    at = before.get(diagonal)
    both = at is not None and at < len(gpu) and at - diagonal < len(twin)
    if at is not None and both and gpu[at].name == twin[at - diagonal].name:
        moves.append((at + 1, diagonal))
    at = before.get(diagonal - 1)
    if at is not None and at < len(gpu):
        moves.append((at + 1, diagonal - 1))
    at = before.get(diagonal + 1)
    if at is not None and at - diagonal - 1 < len(twin):
        moves.append((at, diagonal + 1))
    return moves


def _slide(gpu: Sequence[Key], twin: Sequence[Key], i: int, diagonal: int) -> int:
    """Return how far on the GPU's side both sides are the same, going on from `i` on `diagonal`."""
    while i < len(gpu) and i - diagonal < len(twin) and gpu[i] == twin[i - diagonal]:
        i += 1
    return i


def _way_back(
    gpu: Sequence[Key], twin: Sequence[Key], reached: list[dict[int, int]], diagonal: int
) -> list[AlignedPair]:
    pairs: list[AlignedPair] = []
    i = reached[-1][diagonal]
    for before in reached[-2::-1]:
        landed, origin = max(_moves(gpu, twin, before, diagonal), key=lambda move: move[0])
        pairs += [(k, k - diagonal) for k in range(i - 1, landed - 1, -1)]
        start = before[origin]
        if origin == diagonal:
            pairs.append((start, start - diagonal))
        elif origin < diagonal:
            pairs.append((start, None))
        else:
            pairs.append((None, start - origin))
        i, diagonal = start, origin
    pairs += [(k, k - diagonal) for k in range(i - 1, -1, -1)]
    return pairs[::-1]
