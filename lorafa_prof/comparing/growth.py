"""What grew where memory got worse: the tensors behind the metric that grew most."""

from __future__ import annotations

from collections.abc import Sequence

from lorafa_prof.claims.finding import Item
from lorafa_prof.comparing.metrics import number_of
from lorafa_prof.comparing.sides import Outcome
from lorafa_prof.comparing.tolerance import COMPARED
from lorafa_prof.results.tensors import TensorChange, Tensors, changes, static_tensors

#: All of these is what autograd saved; the other metrics of memory have weights and optimizer in them too.
_SAVED_ALONE = ("activation_bytes", "saved_bytes")
#: Segments and what else is on the device; explained only where nothing nearer to tensors got worse.
_FAR_FROM_TENSORS = ("peak_reserved_bytes", "device_used_bytes")
_NO_TENSORS = ("host_rss_bytes",)


def explained(items: Sequence[Item], base: Outcome, new: Outcome) -> tuple[str, tuple[TensorChange, ...]]:
    """Return the metric of memory that got worse by the most bytes, and the changes of tensors behind it.

    The largest growth comes first. The name is empty if no memory got worse, or tensors were not recorded.
    """
    worse = [item.what for item in items if item.word == "worse" and item.what in COMPARED]
    memory = [name for name in worse if COMPARED[name].group == "memory" and name not in _NO_TENSORS]
    if not memory:
        return "", ()
    name = max(memory, key=lambda name: (name not in _FAR_FROM_TENSORS, _growth(name, base, new)))
    grown = changes(_tensors(name, base, new), _tensors(name, new, base))
    return (name, tuple(grown)) if grown else ("", ())


def _growth(name: str, base: Outcome, new: Outcome) -> float:
    before, after = (number_of(side, COMPARED[name]) or 0 for side in (base, new))
    return after - before


def _tensors(name: str, outcome: Outcome, other: Outcome) -> Tensors:
    """Return the tensors of `outcome` that the metric counts.

    What autograd saved is among them only if it is known of both outcomes.
    """
    saved = outcome.saved if outcome.saved is not None and other.saved is not None else {}
    return saved if name in _SAVED_ALONE else {**saved, **static_tensors(outcome.row)}
