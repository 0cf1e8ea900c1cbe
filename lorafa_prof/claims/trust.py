"""Which results can be judged: those of today's code and of one machine, whose rows are of their cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lorafa_prof.cell import Cell
from lorafa_prof.claims.marked import Marked
from lorafa_prof.results.fingerprint import (
    BITSANDBYTES,
    KEY,
    Fingerprint,
    changed_parts,
    fingerprint_of,
    kept_fingerprint,
)
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import contradicted_columns
from lorafa_prof.words.phrases import count, first_of, listed

#: What becomes of a result of other than today's code: it is measured again, or judged all the same.
Stale = Literal["again", "keep"]

_MOST_NAMED = 3
#: Whose rows claims judge: also that a step does not fit is a result.
_JUDGED = ("ok", "oom")
#: What must be the same of two results for one to be judged against the other.
_TELLING_PACKAGES = ("torch", "transformers", "peft")
_OF_BOTH = ("lorafa-prof", "extensions", "accelerate", "triton", BITSANDBYTES)


@dataclass(frozen=True)
class Doubts:
    """Why results cannot be judged.

    Attributes:
        of_cells: by cell id.
        pairs: whether results of different code are kept from being judged against each other.
        marked: what becomes of values that a mark of their row disturbs.
        notes: what is judged all the same, for people.
    """

    of_cells: Mapping[str, str] = field(default_factory=dict)
    pairs: bool = True
    marked: Marked = "refuse"
    notes: tuple[str, ...] = ()


def stale_parts(result: CellResult, now: Fingerprint) -> list[str]:
    """What a result depends on that is not as it was, or is not known to be."""
    return changed_parts(kept_fingerprint(result.environment), now)


def is_stale(result: CellResult, now: Fingerprint) -> bool:
    """Whether a kept result does not stand for a new one.

    A prediction needs every part of its fingerprint known and the same. What was measured is of another day
    where a known part has changed; one of before there were fingerprints is kept, and `run` says so.
    """
    then = kept_fingerprint(result.environment)
    if not result.cell.is_predicted and not any(then.values()):
        return False
    return bool(changed_parts(then, now)) or bool(contradicted_columns(result))


def doubts_of(results: Mapping[str, CellResult]) -> Doubts:
    """What is wrong with results whatever the day: a row of another cell, or nobody knows whose."""
    return Doubts({cell_id: why for cell_id, result in results.items() if (why := _wrong(result))})


def stored_doubts(
    results: Mapping[str, CellResult],
    stale: Stale,
    now: Callable[[Cell], Fingerprint] = fingerprint_of,
    marked: Marked = "refuse",
) -> Doubts:
    """Also what is not of today's code: predictions of another one, which would come out otherwise perhaps.

    Args:
        results: by cell id, as they were stored.
        stale: with "keep" that is only told.
        now: gives the fingerprint of today.
        marked: what becomes of values that a mark of their row disturbs; each is told where it is judged.
    """
    wrong = dict(doubts_of(results).of_cells)
    of_another_day = {}
    for cell_id, result in results.items():
        # What a GPU measured is judged anywhere, also where there is none, with another PyTorch.
        if cell_id in wrong or not result.cell.is_predicted or result.row["status"] not in _JUDGED:
            continue
        if result.cell.is_own_code:  # a profile of a twin: what it was made of is its script's matter
            continue
        if changed := stale_parts(result, now(result.cell)):
            of_another_day[cell_id] = first_of(changed, _MOST_NAMED)
    if stale == "again":
        refused = {cell_id: _refusal(why) for cell_id, why in of_another_day.items()}
        return Doubts({**wrong, **refused}, marked=marked)
    notes = [_kept_note(of_another_day)] if of_another_day else []
    return Doubts(wrong, pairs=False, marked=marked, notes=tuple(notes))


def _refusal(why: str) -> str:
    return (
        f"predicted with other than today's code: {why}; run or check the scenario again, "
        "or --stale keep judges it as it is"
    )


def _kept_note(why: Mapping[str, str]) -> str:
    reasons = first_of(list(dict.fromkeys(why.values())), _MOST_NAMED, "; ")
    return f"STALE: --stale keep judges {count(len(why), 'prediction')} of other than today's code: {reasons}"


def _wrong(result: CellResult) -> str:
    if result.row["status"] not in _JUDGED:
        return ""
    if columns := contradicted_columns(result):
        return f"its row is not of its cell: {listed(columns)} differ"
    if not result.environment.get("packages"):
        return "nobody knows what made it: its record names no versions"
    gpu = _part(result, "gpu").get("catalogue_name")
    if result.cell.device_kind == "cuda" and gpu and result.cell.gpu and gpu != result.cell.gpu:
        return f"its cell is of {result.cell.gpu}, and it was measured on {gpu}"
    return ""


def apart(one: CellResult, other: CellResult) -> str:
    """In what the makings of two results differ so that one says nothing of the other; empty: in nothing."""
    ours, theirs = _makings(one), _makings(other)
    both = ours.keys() & theirs.keys()
    differing = [
        f"{name} {ours[name]} and {theirs[name]}" for name in sorted(both) if ours[name] != theirs[name]
    ]
    return f"they are of different makings: {', '.join(differing)}" if differing else ""


def _makings(result: CellResult) -> dict[str, str]:
    packages = _part(result, "packages")
    makings = {name: str(packages.get(name) or "unknown").split("+")[0] for name in _TELLING_PACKAGES}
    makings |= {name: known for name, known in _part(result, KEY).items() if name in _OF_BOTH and known}
    for name, key in (("model", result.cell.model), ("method", result.cell.method.name)):
        if known := _part(result, KEY).get(name):
            makings[f"{name} {key if isinstance(key, str) else key.name}"] = str(known)
    # A GPU is compared with another one only where a claim says so: then the cells differ.
    gpu = _part(result, "gpu")
    if result.cell.device_kind == "cuda":
        makings[f"driver of {result.cell.gpu}"] = str(gpu.get("driver") or "unknown")
    if result.cell.device_kind == "cpu":
        makings["CPU"] = str(_part(result, "host").get("cpu") or "unknown")
    return makings


def _part(result: CellResult, name: str) -> Mapping[str, Any]:
    part = result.environment.get(name)
    return part if isinstance(part, dict) else {}


def several_machines(results: Sequence[CellResult]) -> list[str]:
    """A note where results are of several makings, though each is judged alone."""
    kinds: dict[str, set[str]] = {}
    for result in results:
        for name, known in _makings(result).items():
            if not name.startswith(("model ", "method ")):
                kinds.setdefault(name, set()).add(known)
    mixed = [f"{name} {listed(sorted(known))}" for name, known in sorted(kinds.items()) if len(known) > 1]
    return [f"the results are of different makings: {'; '.join(mixed)}"] if mixed else []
