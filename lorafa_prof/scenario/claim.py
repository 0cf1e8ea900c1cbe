"""A claim as a scenario has it: an expectation on metrics of some cells, with its source."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from lorafa_prof.frozen_data import Frozen, Written, item_or_list

#: As a bound: what the baseline file has for the cell.
BASELINE = "baseline"


def _as_list(value: Any) -> Any:
    if value == []:
        raise ValueError("the list is empty")
    return value if isinstance(value, list) else [value]


def _as_amount(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"it should be an amount, and this is {str(value).lower()}")
    if isinstance(value, (int, float, str)):
        return value
    raise ValueError("it should be a number, or an amount such as '24 MiB' or '85 %'")


def _yes_or_no_too(schema: dict[str, Any]) -> None:
    schema["anyOf"].append({"type": "boolean"})


Amount = Annotated[int | float | str, BeforeValidator(_as_amount)]
Names = Annotated[list[StrictStr], Written(_as_list, item_or_list)]
Selector = dict[StrictStr, Any]


class Claim(Frozen):
    """An expectation on `metric` in the cells that `of` selects; docs/claims.md is the contract.

    By default it is on the value of a cell. With `relative_to` it is on the ratio to the cell that is the
    same in all else, with `difference_to` on the difference; with `growth_over` on the growth per unit of
    that setting. The last four keys are of metrics of learning runs alone.
    """

    name: StrictStr
    source: StrictStr | None = None
    metric: Names
    of: Selector = {}
    relative_to: Selector | None = None
    difference_to: Selector | None = None
    growth_over: StrictStr | None = None
    for_each: Names | None = None
    across: Names | None = None
    at_most: Amount | None = None
    at_least: Amount | None = None
    between: list[Amount] | None = None
    equals: Annotated[Amount | None, Field(json_schema_extra=_yes_or_no_too)] = None
    tolerance: Amount | None = None
    at_equal: Literal["peak_allocated_bytes"] | None = None
    within: Annotated[StrictFloat, Field(gt=0, lt=1)] | None = None
    confidence: Annotated[StrictFloat, Field(gt=0.5, lt=1)] | None = None
    seeds: Annotated[StrictInt, Field(ge=1)] | None = None

    @field_validator("name")
    @classmethod
    def _named(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("a claim needs a name: it is told by it")
        return value

    @field_validator("equals", mode="before")
    @classmethod
    def _fits_or_not(cls, value: Any, info: ValidationInfo) -> Any:
        # Whether a step fits is a question of yes or no; of nothing else are they amounts.
        return int(value) if isinstance(value, bool) and info.data.get("metric") == ["fits"] else value

    @field_validator("between")
    @classmethod
    def _two(cls, value: list[Amount] | None) -> list[Amount] | None:
        if value is not None and len(value) != 2:
            raise ValueError("it should be a list of two: the least and the most")
        return value

    @model_validator(mode="after")
    def _one_question(self) -> Claim:
        relations = [
            n for n in ("relative_to", "difference_to", "growth_over") if getattr(self, n) is not None
        ]
        if len(relations) > 1:
            raise ValueError(f"{relations[0]} and {relations[1]} ask for two things: make two claims of it")
        if self.for_each is not None and relations not in (["relative_to"], ["difference_to"]):
            raise ValueError("for_each says how cells pair up: it needs relative_to or difference_to")
        if self.at_equal is not None and relations not in (["relative_to"], ["difference_to"]):
            raise ValueError("at_equal says how cells pair up: it needs relative_to or difference_to")
        if self.at_equal is not None and self.for_each is not None:
            raise ValueError("at_equal and for_each both say how cells pair up: keep one of them")
        if self.within is not None and self.at_equal is None:
            raise ValueError("within says how equal is equal: it needs at_equal")
        bounds = {n for n in ("at_most", "at_least", "between", "equals") if getattr(self, n) is not None}
        if not bounds:
            raise ValueError("nothing is expected: give at_most, at_least, between or equals")
        if len(bounds) > 1 and bounds != {"at_most", "at_least"}:
            raise ValueError(f"{' and '.join(sorted(bounds))} do not go together: keep one of them")
        if self.across is not None and not self.compares_with_baseline:
            raise ValueError(
                "across says in what the baseline's cell may differ: it needs the baseline as bound"
            )
        if BASELINE in (self.at_most, self.at_least, self.equals) and relations:
            raise ValueError(f"the baseline has values of cells: it does not go with {relations[0]}")
        return self

    @property
    def of_learning(self) -> tuple[str, ...]:
        """Those of its keys that only metrics of learning runs take."""
        keys = ("at_equal", "within", "confidence", "seeds")
        return tuple(key for key in keys if getattr(self, key) is not None)

    @property
    def compares_with_baseline(self) -> bool:
        """Whether one of its bounds is the baseline's value."""
        return BASELINE in (self.at_most, self.at_least, self.equals)
