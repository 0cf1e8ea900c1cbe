from __future__ import annotations

from typing import Any

import pytest

from lorafa_prof.errors import LorafaProfError, UsageError
from lorafa_prof.predicting.largest import largest_that_fits
from lorafa_prof.predicting.script import Script
from lorafa_prof.predicting.varied import BATCH, option_of, with_value

CAPACITY = 24_000


def trial_of(fixed: int, each: int, rows: int = 10**9) -> Any:
    def trial(value: int) -> dict[str, Any]:
        needed = fixed + each * min(value, rows)
        status = "ok" if needed <= CAPACITY else "oom"
        return {
            "status": status,
            "message": f"needs {needed}",
            "peak_reserved_bytes": min(needed, CAPACITY),
            "capacity_bytes": CAPACITY,
        }

    return trial


@pytest.mark.parametrize(("fixed", "each", "value"), [(4000, 450, 44), (100, 1, 23_900), (20_000, 4000, 1)])
def test_the_largest_fits_and_the_next_does_not(fixed: int, each: int, value: int) -> None:
    found = largest_that_fits("batch", trial_of(fixed, each))
    assert found.value == value
    assert found.tried[value]["status"] == "ok"
    assert found.tried[value + 1]["status"] == "oom"
    assert len(found.tried) < 13
    assert found.message == f"the largest batch that fits is {value:,}: needs {fixed + each * value}"


def test_nothing_fits() -> None:
    found = largest_that_fits("batch", trial_of(25_000, 1))
    assert found.value is None
    assert found.as_json()["status"] == "oom"
    assert found.message.startswith("not even batch 1 fits")


def test_more_than_the_script_has_rows_for_is_no_answer() -> None:
    found = largest_that_fits("batch", trial_of(1000, 10, rows=7))
    assert not found.grows
    assert found.value is not None
    assert found.value < 100
    assert "grows no more" in found.message


def test_a_trial_that_fails_is_an_error() -> None:
    def trial(value: int) -> dict[str, Any]:
        return {"status": "error", "message": "the script failed: ValueError: odd"}

    with pytest.raises(LorafaProfError, match="batch 1: the script failed: ValueError: odd"):
        largest_that_fits("batch", trial)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("--batch-size", "4", "-x"), ("--batch-size", "9", "-x")),
        (("--batch_size=4",), ("--batch_size=9",)),
        (("batch_size=4", "lr=1"), ("batch_size=9", "lr=1")),
        (("--lr", "1"), ("--lr", "1", "--batch_size", "9")),
    ],
)
def test_an_option_is_set_in_its_place(given: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert with_value(Script("train.py", False, given), "batch_size", 9).arguments == expected


def test_a_batch_by_its_usual_names() -> None:
    script = Script("train.py", False, ("--per-device-train-batch-size", "4"))
    assert option_of(script, BATCH, "--max-batch") == "per_device_train_batch_size"
    with pytest.raises(UsageError, match="name the option with --vary"):
        option_of(Script("train.py", False, ("--lr", "4")), BATCH, "--max-batch")
