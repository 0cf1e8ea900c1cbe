"""Values of an axis: in the file one, or a list of them."""

from __future__ import annotations

from typing import Any, TypeVar

from lorafa_prof.frozen_data import Written, item_or_list

T = TypeVar("T")


def as_list(value: Any) -> Any:
    """Return the value of an axis as a list; in the file it may be one value or a list."""
    return value if isinstance(value, list) else [value]


#: Annotates the list that an axis is.
LISTED = Written(as_list, item_or_list)


def without_repeats(values: list[T]) -> list[T]:
    """The values in order, each once."""
    return list(dict.fromkeys(values))
