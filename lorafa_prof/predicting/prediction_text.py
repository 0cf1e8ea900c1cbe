"""A prediction as tables: what the memory is for, which lines hold it, and what would free it."""

from __future__ import annotations

from collections.abc import Iterator

from lorafa_prof.parts import PARTS
from lorafa_prof.predicting.prediction import Prediction
from lorafa_prof.words.numbers import percent, size
from lorafa_prof.words.tables import aligned

ROWS = 10
#: Of what is allocated at the peak: what would free less is not told.
SMALLEST_SHARE = 0.01


def prediction_text(prediction: Prediction) -> str:
    """Return what stands below the message, lines ended; empty where no memory was taken.

    Where memory ran out it is of the run without the limit, if there is one.
    """
    told = prediction.without_limit or prediction
    if not told.holders:
        return ""
    where = "at the peak" if told is prediction else "at the peak if nothing limits it"
    lines = ["", f"{_peaks(told)} {where}", "", *_at_peak(told), "", *_holders(told)]
    if freeing := list(_would_free(told)):
        lines += ["", "What would free how much at this peak, each alone:", *freeing]
    return "\n".join([*lines, ""])


def _peaks(prediction: Prediction) -> str:
    peaks = ("requested", "allocated", "reserved")
    return ", ".join(f"{name} {size(getattr(prediction, f'peak_{name}_bytes'))}" for name in peaks)


def _at_peak(prediction: Prediction) -> Iterator[str]:
    allocated = prediction.peak_allocated_bytes
    yield "When most is allocated:"
    kinds = [
        (PARTS[kind].name, size(held), percent(held / allocated))
        for kind, held in prediction.by_kind().items()
    ]
    yield from (f"  {line}" for line in aligned(kinds, right=[1, 2]))


def _holders(prediction: Prediction) -> Iterator[str]:
    head = ("held", "blocks", "for", "line", "by way of")
    rows = [
        (
            size(one.bytes),
            f"{one.blocks:,}",
            PARTS[one.kind].name,
            one.line or "-",
            one.code if one.code != one.line else "",
        )
        for one in prediction.holders[:ROWS]
    ]
    yield from aligned([head, *rows], right=[0, 1])
    if rest := prediction.holders[ROWS:]:
        yield f"and {len(rest):,} smaller ones of {size(sum(one.bytes for one in rest))} together"


def _would_free(prediction: Prediction) -> Iterator[str]:
    worth_it = SMALLEST_SHARE * prediction.peak_allocated_bytes
    savings = [
        ("up to" if one.up_to else "", size(one.bytes), one.what)
        for one in prediction.would_free
        if one.bytes >= worth_it
    ]
    yield from (f"  {line}" for line in aligned(savings, right=[1]))
