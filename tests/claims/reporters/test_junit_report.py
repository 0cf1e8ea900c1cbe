"""JUnit XML as a CI reads it: what is not well is red."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_up_judgements import ALL_STATES, CELL_FAILED, HOLDS, NOTHING, WELL, judgements

from lorafa_prof.claims.finding import Judgement
from lorafa_prof.claims.reporters.junit import junit


def suites(*told: Judgement) -> list[ET.Element]:
    # From bytes, since the declaration says utf-8.
    return list(ET.fromstring(junit(told).encode()))


def red(suite: ET.Element) -> int:
    return len(suite.findall("testcase/failure")) + len(suite.findall("testcase/error"))


def test_a_suite_for_each_judgement_and_a_test_for_each_finding() -> None:
    root = ET.fromstring(junit([ALL_STATES, WELL]).encode())
    assert root.attrib == {"tests": "4", "failures": "1", "errors": "1", "skipped": "0"}
    first, second = root
    assert first.attrib == {"name": "claims", "tests": "3", "failures": "1", "errors": "1", "skipped": "0"}
    assert second.attrib == {"name": "well", "tests": "1", "failures": "0", "errors": "0", "skipped": "0"}
    assert first.find("properties/property").attrib == {  # type: ignore[union-attr]
        "name": "machine", "value": "sim:h100-80gb, torch 2.13.0"
    }  # fmt: skip
    assert first.findtext("system-out") == "note: predicted for 5.17"
    assert [case.attrib for case in first.iter("testcase")] == [
        {"classname": "claims", "name": "freezing A pays"},
        {"classname": "claims", "name": "held bytes, of PEFT", "file": "claims.yaml", "line": "31"},
        {"classname": "claims", "name": "step time"},
    ]


def test_what_fails_is_a_failure_and_what_cannot_be_judged_an_error() -> None:
    holds, fails, unknown = suites(ALL_STATES)[0].iter("testcase")
    assert len(holds) == 0
    (failure,) = fails
    assert failure.tag == "failure"
    assert failure.attrib == {
        "type": "fails",
        "message": "peft-lora-fa r8: 42.729 GiB, expected ≤ 33.354 GiB, +9.375 GiB",
    }
    assert failure.text is not None
    assert "32 × bfloat16[8×1024×4096]" in failure.text
    (error,) = unknown
    assert (error.tag, error.get("type")) == ("error", "cannot be judged")


def test_a_cell_that_failed_is_red() -> None:
    (suite,) = suites(CELL_FAILED)
    assert suite.get("errors") == "1"
    case = suite.findall("testcase")[1]
    assert case.get("name") == "lora r8 b2"
    assert case.find("error").get("message") == "failed unexpectedly"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("judgement", "why"),
    [(NOTHING, "no rows in out/x"), (replace(NOTHING, notes=()), "nothing could be judged")],
)
def test_nothing_judged_is_red(judgement: Judgement, why: str) -> None:
    (suite,) = suites(judgement)
    assert suite.attrib == {"name": "empty", "tests": "1", "failures": "0", "errors": "1", "skipped": "0"}
    assert suite.find("testcase/error").get("message") == why  # type: ignore[union-attr]


def test_what_is_inconclusive_is_skipped_where_all_is_well() -> None:
    unknown = replace(HOLDS, items=(replace(HOLDS.items[0], state="unknown"),))
    well, ill = (suites(Judgement("t", (HOLDS, unknown), code))[0] for code in (0, 4))
    assert (well.get("skipped"), well.get("errors")) == ("1", "0")
    assert (ill.get("skipped"), ill.get("errors")) == ("0", "1")


@settings(max_examples=100)
@given(judgements)
def test_any_judgement_is_xml_and_red_where_its_exit_code_is(judgement: Judgement) -> None:
    (suite,) = suites(judgement)
    assert red(suite) == int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    assert len(suite.findall("testcase")) == int(suite.attrib["tests"])
    if judgement.exit_code or any(finding.state == "fail" for finding in judgement.findings):
        assert red(suite)
    else:
        assert red(suite) == len(judgement.cells_failed)


@given(st.text(st.characters(exclude_categories=["C", "Z"])), st.text())
@example("", "\ufffe\uffff\ud800\x0b")
def test_printable_text_comes_back_as_it_was(printable: str, anything: str) -> None:
    told = Judgement(printable, (replace(HOLDS, name=printable + anything),), 0)
    (case,) = suites(told)[0].iter("testcase")
    assert case.attrib["classname"] == printable
    assert case.attrib["name"].startswith(printable)
    assert not re.search(r"[\x00-\x1f\ufffe\uffff]", case.attrib["name"])
