"""A method's options: from what a scenario says to their one canonical form."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from lorafa_prof.methods.base import Method


def validated_options(method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `method` that `given` means, in values that JSON can hold.

    They are complete but for options that came later and are at their defaults (`MethodOptions.added_later`).

    Types are strict, so that each setting has one form and one cell: `rank: "4"` and `rank: true` are errors.

    Raises:
        ValidationError: the options are not valid.
    """
    # By way of JSON, where strict still takes a list for a tuple and text for an enumeration.
    options = method.options.model_validate_json(json.dumps(given, default=str), strict=True)
    values = options.model_dump(mode="json")
    endless = next(_endless(values, ()), None)
    if endless is not None:
        problem = PydanticCustomError("finite_number", "Input should be a finite number")
        raise ValidationError.from_exception_data(
            method.options.__name__, [InitErrorDetails(type=problem, loc=endless, input=math.inf)]
        )
    return {
        name: value
        for name, value in values.items()
        if name not in options.added_later or getattr(options, name) != _default_of(method, name)
    }


def complete_options(method: Method, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return canonical options with the defaults that `validated_options` leaves out."""
    return {**{name: _default_of(method, name) for name in method.options.added_later}, **options}


def _default_of(method: Method, name: str) -> Any:
    return method.options.model_fields[name].get_default(call_default_factory=True)


def _endless(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Yield the paths of infinities and NaNs.

    JSON has neither, so they would not reach the cell's process.
    """
    if isinstance(value, float) and not math.isfinite(value):
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _endless(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _endless(inner, (*path, index))


def same_option(method: Method, options: Mapping[str, Any], key: str, written: Any) -> bool:
    """Return whether `written` means the value of `key` in `options`, which are canonical."""
    try:
        meant = validated_options(method, {**options, key: written})
    except ValidationError:
        return False
    return bool(complete_options(method, meant)[key] == complete_options(method, options)[key])
