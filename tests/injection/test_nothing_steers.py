"""Whatever stored text says: no command's output of any form obeys it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from injection.hostile import hostile_folder, steering, texts_of

from lorafa_prof.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hostile")
    hostile_folder(made / "out")
    hostile_folder(made / "other", activation_bytes=7 * 2**20, peak_reserved_bytes=2**29)
    return made


class Told:
    """What a command said."""

    def __init__(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        self.code = ended.value.code
        self.out, self.err = capsys.readouterr()
        assert "fault of lorafa-prof" not in self.err
        assert "Warning" not in self.err


def commands(folder: Path) -> dict[str, list[str]]:
    out, other = str(folder / "out"), str(folder / "other")
    return {
        "check": ["check", out, "--stale", "keep"],
        "check refused": ["check", out],
        "check annotations": ["check", out, "--stale", "keep", "--annotations"],
        "compare": ["compare", out, other],
        "compare across": ["compare", out, other, "--across", "torch,gpu", "--annotations"],
        "explain": ["explain", out, "-k", "tiny-llama_lora_", "--no-what-if", "--depth", "3", "--jobs", "1"],
        "explain failed": ["explain", out, "-k", "lora-fa", "--no-what-if", "--depth", "3", "--jobs", "1"],
        "explain other": ["explain", out, "-k", "b7", "--no-what-if", "--depth", "3", "--jobs", "1"],
        "explain against": ["explain", out, "-k", "b7", "--against", "tiny-llama_lora_", "--jobs", "1"],
        "explain nothing": ["explain", out, "-k", "\x1b[31m\u202e"],
        "report": ["report", out, "--format", "html,md,tex,png,pdf,svg", "-o", str(folder / "report")],
        "wrong usage": ["run", "\x1b[31m\u202e\nno-such"],
        "wrong option": ["check", out, "--claim", "\x1b[31m\u202e\n("],
    }


CODES = {
    "check": 3,
    "check refused": 4,
    "check annotations": 3,
    "compare": 3,
    "compare across": 3,
    "explain nothing": 2,
    "wrong usage": 2,
    "wrong option": 2,
}


@pytest.mark.parametrize("name", commands(Path()))
def test_no_output_steers_a_terminal(folder, capsys, name):
    told = Told(commands(folder)[name], capsys)
    assert told.out + told.err
    assert not steering(told.out)
    assert not steering(told.err)
    # Of GitHub's runner: no line that a stored text broke off begins with its commands.
    assert not re.search(r"^\s*(::error::)?line", told.out + told.err, flags=re.MULTILINE)
    assert told.code == CODES.get(name, 0)


FORMS = {
    "check": ["check", "out", "--stale", "keep"],
    "check refused": ["check", "out"],
    "compare": ["compare", "out", "other"],
    "compare across": ["compare", "out", "other", "--across", "torch,gpu"],
}


def form(folder: Path, monkeypatch, capsys, name: str, option: str) -> str:
    monkeypatch.chdir(folder)
    told = Told([*FORMS[name], option, "-"], capsys)
    assert not steering(told.err)
    return told.out


@pytest.mark.parametrize("name", FORMS)
def test_markdown_of_judgements(folder, monkeypatch, capsys, name):
    check_markdown(form(folder, monkeypatch, capsys, name, "--markdown"))


def check_markdown(text: str) -> None:
    # Our own zero-width space after @ and # keeps names from calling somebody.
    assert not steering(re.sub("(?<=[@#])\u200b", "", text))
    assert not re.search("<script", text)
    widths: list[int] = []
    for line in text.splitlines():
        columns = len(re.split(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        if columns:
            assert columns == (widths or [columns])[0], line
        widths = [columns] if columns else []
    # Within an element of HTML on its own line nothing is Markdown.
    spans = re.sub(r"(?<!\\)`[^`|\\]+`|^<summary>.*$", "", text, flags=re.MULTILINE)
    assert not re.search(r"(?<!\\)`", spans), "only whole code"


@pytest.mark.parametrize("name", FORMS)
def test_junit(folder, monkeypatch, capsys, name):
    text = form(folder, monkeypatch, capsys, name, "--junit")
    assert not steering(text)
    root = ET.fromstring(text.encode())
    assert {element.tag for element in root.iter()} <= {
        *("testsuites", "testsuite", "testcase", "failure", "error", "skipped"),
        *("system-out", "properties", "property"),
    }


@pytest.mark.parametrize("name", FORMS)
def test_json_is_data_and_holds_it_escaped(folder, monkeypatch, capsys, name):
    text = form(folder, monkeypatch, capsys, name, "--json")
    assert not steering(text)
    assert any("\x1b[31m" in each for each in texts_of(json.loads(text))), "data is kept as it is"


@pytest.fixture(scope="module")
def report(folder: Path) -> Path:
    with pytest.raises(SystemExit) as ended:
        main(["report", str(folder / "out"), "--format", "html,md,tex,svg", "-o", str(folder / "forms")])
    assert ended.value.code == 0
    return folder / "forms"


def test_report_in_markdown(report):
    check_markdown((report / "report.md").read_text())


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.data = ""
        self._in: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        assert not any(name.startswith("on") for name, _ in attributes)
        self._in = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._in = None

    def handle_data(self, data):
        if self._in == "script":
            self.scripts[-1] += data


def test_report_in_html(report):
    text = (report / "report.html").read_text()
    page = Page(text)
    data, *programs = page.scripts
    assert len(programs) == 2, "the library's and ours"
    for program in programs:
        assert "alert(1)" not in program
        text = text.replace(program, "")
    assert "<script>alert" not in text
    assert not steering(text)
    shown = texts_of(json.loads(data))
    assert any("alert(1)" in each for each in shown)
    assert not steering("".join(shown)), "what the scripts put onto the page"


def test_report_in_latex(report):
    text = (report / "tables.tex").read_text()
    assert text.isascii()
    assert not steering(text)
    # Each command is ours, and each sign that means something is escaped or stands where we put it.
    assert set(re.findall(r"\\([a-z]+)", text)) <= {
        *("begin", "end", "centering", "caption", "toprule", "midrule", "bottomrule"),
        *("cmidrule", "multicolumn", "footnotesize", "setlength", "tabcolsep"),
        *("textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar"),
        *("usepackage", "clearpage", "times"),
    }
    rows = [line for line in text.splitlines() if line.endswith("\\\\")]
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
    assert not re.findall(r"(?<!\\)[#_~]", text)
    assert not re.findall(r"(?<!\\)\$(?!\\times\$)", text.replace("\\times$", "\\times"))


def test_text_in_figures(report):
    drawn = list(report.glob("*.svg"))
    assert drawn
    for file in drawn:
        text = file.read_text()
        ET.fromstring(text)
        assert not steering(text)
        assert "<script" not in text
