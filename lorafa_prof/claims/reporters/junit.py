"""Judgements as JUnit XML, which every CI can show: a suite each, with a test for every finding."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from lorafa_prof.claims.finding import Finding, Judgement
from lorafa_prof.claims.reporters.terminal import finding_text
from lorafa_prof.claims.reporters.wording import summary
from lorafa_prof.words.phrases import one_line

#: What XML 1.0 cannot hold, escaped or not.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(judgements: Sequence[Judgement]) -> str:
    """A test fails where its finding does, and is an error where it could not be judged.

    Where the judgement as a whole is well all the same, as with an inconclusive time, that test is skipped. A
    suite whose judgement is not well has at least one test that says so.
    """
    suites = [_suite(judgement) for judgement in judgements]
    root = ET.Element("testsuites", _counts(suites))
    root.extend(suites)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(judgement: Judgement) -> ET.Element:
    title = _text(judgement.title)
    unknown = "error" if judgement.exit_code else "skipped"
    cases = [_case(title, finding, unknown) for finding in judgement.findings]
    cases += [_error(title, label, "cell failed", "failed unexpectedly") for label in judgement.cells_failed]
    if judgement.exit_code and not any(case.find(tag) is not None for case in cases for tag in _AMISS):
        why = "; ".join(judgement.notes) or "nothing could be judged"
        cases.append(_error(title, judgement.title, "nothing judged", why))
    suite = ET.Element("testsuite", {"name": title, **_counts(cases)})
    if judgement.machine:
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", {"name": "machine", "value": _text(judgement.machine)})
    suite.extend(cases)
    if judgement.notes:
        ET.SubElement(suite, "system-out").text = "\n".join(f"note: {_text(n)}" for n in judgement.notes)
    return suite


def _counts(parts: Sequence[ET.Element]) -> dict[str, str]:
    """How many tests, failures and errors there are in these, counting a test itself too."""
    found = {name: sum(1 for part in parts for _ in part.iter(tag)) for name, tag in _COUNTED.items()}
    return {name: str(number) for name, number in found.items()}


_AMISS = ("failure", "error", "skipped")
_COUNTED = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}


def _case(title: str, finding: Finding, unknown: str) -> ET.Element:
    case = ET.Element("testcase", {"classname": title, "name": _text(finding.name)})
    if finding.file is not None:
        case.set("file", _text(finding.file))
    if finding.line is not None:
        case.set("line", str(finding.line))
    if finding.state != "pass":
        tag = "failure" if finding.state == "fail" else unknown
        attributes = {"type": _text(finding.word), "message": _text(summary(finding))}
        ET.SubElement(case, tag, attributes).text = _NO_XML.sub("", finding_text(finding)).strip()
    if finding.notes:
        ET.SubElement(case, "system-out").text = "\n".join(f"note: {_text(note)}" for note in finding.notes)
    return case


def _error(title: str, name: str, kind: str, message: str) -> ET.Element:
    case = ET.Element("testcase", {"classname": title, "name": _text(name)})
    ET.SubElement(case, "error", {"type": kind, "message": _text(message)})
    return case


def _text(text: str) -> str:
    return _NO_XML.sub("", one_line(text))
