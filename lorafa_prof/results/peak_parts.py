"""What the peak of a cell that finished is made of, as far as its row and its record tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from lorafa_prof.parts import SAVED_KINDS
from lorafa_prof.results.tensors import STATIC_KINDS


def saved_by_kind(details: Mapping[str, Any]) -> dict[str, int] | None:
    """Bytes of saved tensors by kind, without those that were there before the step; None if not recorded.

    A kind that this version of lorafa-prof does not know is "other".
    """
    if not details.get("saved"):
        return None
    total: Counter[str] = Counter()
    for storage in details["saved"]["storages"]:
        if not storage["from_before"]:
            kind = storage["kind"] if storage["kind"] in SAVED_KINDS else "other"
            total[kind] += storage["nbytes"]
    return dict(total)


def peak_parts(values: Mapping[str, Any], by_kind: Mapping[str, int] | None = None) -> dict[str, int]:
    """Bytes by key of `lorafa_prof.parts.PEAK_PARTS`.

    Together they are the peak, or more than that: they are not all there at once. Without `by_kind` what
    forward holds is one part, ``activation_bytes``.

    Args:
        values: of the row, as far as they are known.
        by_kind: of `saved_by_kind`.
    """
    parts = {
        f"{name}_bytes": int(values[f"{name}_bytes"]) for name in STATIC_KINDS if values.get(f"{name}_bytes")
    }
    held = values.get("activation_bytes")
    if by_kind:
        parts |= {f"saved_{kind}": nbytes for kind, nbytes in by_kind.items()}
        unsaved = int(held) - sum(by_kind.values()) if held is not None else 0
        parts |= {"unsaved": unsaved} if unsaved > 0 else {}
    elif held is not None:
        parts["activation_bytes"] = int(held)
    peak = values.get("peak_allocated_bytes")
    rest = int(peak) - sum(parts.values()) if peak is not None else 0
    return parts | ({"other": rest} if rest > 0 else {})
