"""Why lines of reports/h200-steps are not exact: what the twin does not know gives what was measured.

The driver chooses where a segment lies, and of two free blocks of one size the allocator takes the lower one.
And an activation above 6 goes another way through bitsandbytes' 8-bit product, which then keeps more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count

import pytest
from requests_of_cells import Outcome, Request, any_addresses, outcome, requests_of
from steps_table import ROWS, Row, cell_of, name_of, only_if_all_are_tried

PLACINGS = 60
#: T5-base's attention outputs, 4 × 512 of 768 numbers, and the weight that they are multiplied by.
TOKENS, WIDTH = 2048, 768
PRODUCT = "lorafa_prof.linear_8bit.default"


def lines(belongs: Callable[[Row], bool], in_ci: str | None) -> pytest.MarkDecorator:
    """The lines for which `belongs` holds, of which CI tries those of the method `in_ci`, if any."""
    params = [
        pytest.param(row, id=name_of(row), marks=[] if row["method"] == in_ci else [only_if_all_are_tried])
        for row in ROWS
        if belongs(row)
    ]
    return pytest.mark.parametrize("row", params)


def measured(row: Row) -> Outcome:
    return Outcome(*(int(row[f"measured_{metric}"]) for metric in Outcome._fields))


@lines(lambda row: row["why"] == "placing", in_ci="peft-lora")
def test_with_segments_elsewhere_it_is_what_was_measured(row: Row) -> None:
    requests = requests_of(cell_of(row))
    assert outcome(requests) != measured(row)
    assert measured(row) in {outcome(requests, any_addresses(seed)) for seed in range(PLACINGS)}


def is_of_t5_by_peft(row: Row) -> bool:
    return row["why"] == "outliers" and (row["model"], row["method"]) == ("t5-base", "peft-lora")


@lines(is_of_t5_by_peft, in_ci=None)
def test_with_outliers_in_the_first_step_it_is_what_was_measured(row: Row) -> None:
    """Each number of T5's attention outputs has a token in which it is above 6, at first (seen on a CPU)."""
    requests = requests_of(cell_of(row))
    assert outcome(requests) != measured(row)
    assert outcome(with_outliers(requests)) == measured(row)


def with_outliers(requests: Sequence[Request]) -> Iterator[Request]:
    """The requests, with those of bitsandbytes where every column of the first step's `o` has an outlier.

    Of 0.50.2: `int8_mixed_scaled_mm` (backends/default/ops.py); `MatMul8bitLt` keeps the columns until
    backward is over.
    """
    fresh = count(max(request.number for request in requests) + 1)
    kept: list[Request] = []
    weight: Request | None = None
    renamed: dict[int, int] = {}
    outputs: list[Request] = []
    for request in requests:
        if request.phase == "optimizer":
            yield from map(freed, kept)
            kept = []
        of_o = request.step == 1 and request.operation == PRODUCT and ".o.base_layer" in request.module
        int32_product = of_o and request.bytes == 4 * TOKENS * WIDTH
        if int32_product and not request.is_free:

            def taken(size: int, like: Request = request) -> Request:
                return like._replace(number=next(fresh), bytes=size)

            columns, packed, dense = taken(2 * TOKENS * WIDTH), taken(WIDTH**2), taken(4 * WIDTH**2)
            weight = taken(2 * WIDTH**2)
            yield from (columns, packed, dense, freed(packed), weight, freed(dense))
            kept.append(columns)
            outputs = []
        number = renamed.pop(request.number, request.number) if request.is_free else request.number
        yield request._replace(number=number)
        if of_o and weight is not None:
            if not request.is_free:
                outputs.append(request)
            elif int32_product:
                sum_of_both = outputs[-1]._replace(number=next(fresh))
                yield from (sum_of_both, freed(outputs[-1]), freed(weight))
                renamed[outputs[-1].number] = sum_of_both.number
                weight = None


def freed(request: Request) -> Request:
    return request._replace(is_free=True)
