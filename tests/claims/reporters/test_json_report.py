"""JSON with everything that there is."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from made_up_judgements import ALL_STATES, FAILS, GIB, HOLDS, WELL, judgements

from lorafa_prof.claims.finding import Finding, Item, Judgement
from lorafa_prof.claims.reporters.json_report import json_report


def loaded(*told: Judgement) -> list[dict[str, Any]]:
    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    report = json.loads(json_report(told), parse_constant=no_constant)
    assert report["schema_version"] == 1
    found: list[dict[str, Any]] = report["judgements"]
    return found


def test_judgements_have_their_exit_codes_and_counts() -> None:
    first, second = loaded(ALL_STATES, WELL)
    assert (first["title"], first["exit_code"], second["exit_code"]) == ("claims", 3, 0)
    assert first["count"] == {"pass": 1, "fail": 1, "unknown": 1}
    assert (first["notes"], first["machine"]) == (["predicted for 5.17"], "sim:h100-80gb, torch 2.13.0")


def test_numbers_are_numbers() -> None:
    holds, fails, unknown = loaded(ALL_STATES)[0]["findings"]
    assert [item["value"] for item in holds["items"]] == [0.781, 0.792]
    assert unknown["items"][0]["value"] is None
    assert (fails["state"], fails["file"], fails["line"]) == ("fail", "claims.yaml", 31)
    assert fails["culprits"] == [
        {
            "module": "layers.*.q_proj",
            "kind": "linear_input",
            "op": "linear",
            "dtype": "bfloat16",
            "shape": [8, 1024, 4096],
            "before": {"count": 0, "nbytes": 0, "line": ""},
            "after": {"count": 32, "nbytes": 2 * GIB, "line": "peft/layer.py:812"},
            "delta_bytes": 2 * GIB,
        }
    ]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_is_unknown(value: float) -> None:
    item = Item("x", "fail", "fails", value=value)
    finding = Finding("f", (item,), "fails")
    assert loaded(Judgement("t", (finding,), 3))[0]["findings"][0]["items"][0]["value"] is None


def test_no_field_is_missing() -> None:
    (judgement,) = loaded(ALL_STATES)
    assert judgement.keys() == names(ALL_STATES) | {"count"}
    assert judgement["findings"][1].keys() == names(FAILS) | {"state"}
    assert judgement["findings"][0]["items"][0].keys() == names(HOLDS.items[0])


def names(thing: Judgement | Finding | Item) -> set[str]:
    return {field.name for field in dataclasses.fields(thing)}


@settings(max_examples=100)
@given(judgements)
def test_any_judgement_comes_back(judgement: Judgement) -> None:
    (back,) = loaded(judgement)
    assert back["title"] == judgement.title
    assert [finding["name"] for finding in back["findings"]] == [f.name for f in judgement.findings]
