from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reported_runs import cell, content, details, record, storage, write_run

from lorafa_prof.claims.finding import Finding, Item, Judgement
from lorafa_prof.report.html import CHART_JS, html_report
from lorafa_prof.report.page_data import page_data, script_safe_json
from lorafa_prof.report.pictures import Picture

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
PICTURE = Picture(
    "flops", "FLOPs", "All cells: bf16.", "data:image/png;base64,AA==", "data:image/png;base64,BB==", 10, 20
)
#: Attributes by which a page asks for something when it is opened.
ASKING = {
    "src",
    "srcset",
    "data",
    "poster",
    "background",
    "action",
    "formaction",
    "style",
    "onerror",
    "onload",
}


class Page(HTMLParser):
    """Elements with their attributes, text of scripts and styles, and all other text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.raw: list[tuple[str, str]] = []
        self.said = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] in ("script", "style"):
            self.raw.append((self.inside[-1], data))
        else:
            self.said += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw[1][1])
        return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    records = [
        record(cell("lora", model=HOSTILE)),
        record(cell("lora-fa", model=HOSTILE), "oom", failed_phase="forward", message=HOSTILE),
    ]
    out = write_run(tmp_path_factory.mktemp("run"), records, description=HOSTILE)
    return Page(html_report(content(out), [PICTURE], {"timeline": HOSTILE}))


def test_nothing_is_asked_of_anyone(page: Page) -> None:
    asked = {
        (tag, name): value
        for tag, attributes in page.elements
        for name, value in attributes.items()
        if name in ASKING or (name == "href" and tag != "a")
    }
    assert asked == {
        ("link", "href"): "data:,",
        ("img", "src"): PICTURE.light,
        ("source", "srcset"): PICTURE.dark,
    }
    assert "sourceMappingURL" not in "".join(text for _, text in page.raw)


def test_the_policy_names_what_is_on_the_page_and_no_more(page: Page) -> None:
    (policy,) = (
        each["content"] for each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for _, text in page.raw
    ]
    style, _, *scripts = hashes
    assert rules == {
        "default-src": "'none'",
        "script-src": " ".join(scripts),
        "style-src": style,
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_a_hostile_name_is_text(page: Page) -> None:
    assert [kind for kind, _ in page.raw] == ["style", "script", "script", "script"]
    assert page.all("img") == [
        {"src": PICTURE.light, "alt": "FLOPs", "width": "10", "height": "20"},
    ]
    assert HOSTILE in page.data["cells"][0]["row"]
    assert page.said.count(HOSTILE) >= 3  # in what all cells share, the scenario, and a figure's reason


@settings(max_examples=100)
@given(text=st.text(st.one_of(st.characters(), st.sampled_from("<>/&!-script\u2028\ud800")), max_size=60))
def test_no_text_ends_the_script_it_stands_in(text: str) -> None:
    written = script_safe_json({"name": text})
    assert written.isascii()
    assert not set(written) & set("<>&")
    assert json.loads(written) == {"name": text}


def test_summary_claims_figures_and_provenance_are_there_without_scripts(tmp_path: Path) -> None:
    claim = {"name": "small", "metric": ["activation_bytes"], "at_most": 1, "source": "https://example.org/x"}
    out = write_run(tmp_path, [record(cell("lora")), record(cell("lora-fa"))], claims=[claim])
    found = Page(html_report(content(out), [PICTURE], {}))
    said = " ".join(found.said.split())
    assert "2 cells: 2 ran to the end." in said
    assert "1 claim: 1 fails." in said
    assert "Source: https://example.org/x" in said
    assert "3.000 MiB (3,145,727 B) too much" in said
    assert f"lorafa-prof run mine.yaml -o {out}" in said
    assert "torch 2.13.0" in re.sub(r"(?<=torch)\s*(?=2)", " ", said)
    assert "name: made-up" in said
    assert {"alt": "FLOPs"}.items() <= found.all("img")[0].items()


def test_every_state_of_a_claim_is_shown(tmp_path: Path) -> None:
    findings = tuple(
        Finding(f"claim {state}", (Item("a cell", state, word),), word)  # type: ignore[arg-type]
        for state, word in (("pass", "holds"), ("fail", "fails"), ("unknown", "cannot be judged"))
    )
    told = content(write_run(tmp_path, [record(cell())]))
    object.__setattr__(told, "judgement", Judgement("mine", findings, 3, notes=("a note",)))
    found = Page(html_report(told, [], {}))
    shown = [each for each in found.all("details") if "claim" in (each.get("class") or "")]
    assert [each["class"] for each in shown] == ["claim pass", "claim fail", "claim unknown"]
    assert ["open" in each for each in shown] == [False, True, False]
    assert "a note" in found.said


def test_data_of_a_cell(tmp_path: Path) -> None:
    kept = details(*(storage(f"layers.{layer}.norm", 2**20) for layer in range(3)))
    found = page_data(
        content(write_run(tmp_path, [record(cell("lora", rank), kept=kept) for rank in (4, 8)]))
    )
    columns = [each["name"] for each in found["columns"]]
    assert [each["name"] for each in found["columns"] if each["shown"]] == [
        "status",
        "method",
        "rank",
        "activation_bytes",
        "peak_allocated_bytes",
        "peak_reserved_bytes",
    ]
    one = found["cells"][1]
    assert one["row"][columns.index("rank")] == 8
    assert one["label"] == "lora r8"
    assert one["explanation"]["tensors"] == [
        ("norm", "layers.*.norm", f"bf16[{2**19}]", 3, 3 * 2**20, "model.py:7", ())
    ]
    settings_of_one = {**found["settings"], **one["settings"]}
    assert settings_of_one["method"]["rank"] == 8
    assert settings_of_one["seq"] == 48
    assert "method" not in found["settings"]


def test_lines_join_cells_that_differ_in_nothing_but_the_axis(tmp_path: Path) -> None:
    runs = [record(cell(method, seq=seq)) for method in ("lora", "lora-fa") for seq in (64, 32)]
    lost = record(cell("lora", seq=128), "oom")
    found = page_data(content(write_run(tmp_path, [*runs, lost])))
    assert [(each["axis"], each["label"], each["cell_ids"]) for each in found["lines"]] == [
        ("seq", "lora", [1, 0]),
        ("seq", "lora-fa", [3, 2]),
    ]


def test_200_cells_of_a_large_model_are_less_than_2_megabytes(tmp_path: Path) -> None:
    """What is left of 5 MB is for pictures."""
    kept = details(
        *(
            storage(f"model.layers.{layer}.part_{part}.projection", 2**20 + part, line="transformers/m.py:99")
            for layer in range(4)
            for part in range(30)
        )
    )
    runs = [record(cell(batch=batch, seq=seq), kept=kept) for batch in range(1, 21) for seq in range(8, 18)]
    assert len(runs) == 200
    assert len(html_report(content(write_run(tmp_path, runs)), [], {})) < 2 * 10**6


def test_the_library_is_as_its_maker_published_it() -> None:
    folder = files("lorafa_prof.report").joinpath("assets", "chartjs")
    told = folder.joinpath("README.md").read_text()
    script = folder.joinpath("chart.umd.min.js").read_bytes()
    assert hashlib.sha256(script).hexdigest() in told
    assert f"Chart.js {CHART_JS}" in told
    assert f"Chart.js v{CHART_JS}\n".encode() in script
    assert "MIT" in folder.joinpath("LICENSE.md").read_text()
