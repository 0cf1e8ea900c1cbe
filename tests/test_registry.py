from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from lorafa_prof import registry as module
from lorafa_prof.errors import UsageError
from lorafa_prof.registry import Registry, nearest


@dataclass(frozen=True)
class Tool:
    name: str


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make a registry over a package `toolbox` with these modules, and over these entry points."""

    def make(modules: dict[str, str], points: dict[str, str] | None = None) -> Registry[Tool]:
        folder = tmp_path / "toolbox"
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for name, code in modules.items():
            (folder / f"{name}.py").write_text(f"from test_registry import Tool\n{code}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setitem(sys.modules, "test_registry", sys.modules[__name__])
        for loaded in [name for name in sys.modules if name.split(".")[0] == "toolbox"]:
            monkeypatch.delitem(sys.modules, loaded)
        found = [EntryPoint(name, value, "x.tools") for name, value in (points or {}).items()]
        monkeypatch.setattr(module, "entry_points", lambda group: found if group == "x.tools" else [])
        return Registry(
            kind="tool", package="toolbox", attribute="TOOL", group="x.tools", name_of=lambda tool: tool.name
        )

    return make


def test_entries_come_from_modules_and_entry_points(tools):
    found = tools(
        {"b": "TOOL = (Tool('saw'), Tool('axe'))", "a": "TOOL = Tool('plane')", "base": "nothing = 1"},
        {"drill": "test_registry:DRILL"},
    )
    assert list(found) == ["plane", "saw", "axe", "drill"]
    assert len(found) == 4
    assert found["drill"] is DRILL
    assert "saw" in found
    assert "hammer" not in found


def test_a_program_can_add_its_own(tools):
    made = tools({"a": "TOOL = Tool('plane')"})
    made.add(Tool("hammer"))
    assert list(made) == ["plane", "hammer"]
    with pytest.raises(UsageError, match="two definitions of the tool 'hammer'"):
        made.add(Tool("hammer"))


DRILL = Tool("drill")


def test_nothing_is_loaded_before_it_is_needed(tools):
    made = tools({"a": "TOOL = Tool('plane')"}, {"drill": "test_registry:DRILL"})
    assert "toolbox.a" not in sys.modules
    assert "drill" in made
    assert "toolbox.a" in sys.modules


def test_an_unknown_name_is_told_with_the_nearest_and_where_all_are(tools):
    found = tools({"a": "TOOL = Tool('plane')"})
    with pytest.raises(UsageError) as error:
        found["plain"]
    assert str(error.value) == (
        "unknown tool 'plain' (did you mean 'plane'?); `lorafa-prof list tools` shows all"
    )


def test_two_of_one_name_are_an_error(tools):
    found = tools({"a": "TOOL = Tool('drill')"}, {"drill": "test_registry:DRILL"})
    with pytest.raises(UsageError, match="two definitions of the tool 'drill'"):
        list(found)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no_such_module:TOOL", "ModuleNotFoundError"),
        ("test_registry:NO_SUCH", "AttributeError"),
    ],
)
def test_an_entry_point_that_cannot_be_loaded_is_one_line_that_names_it(tools, value, words):
    found = tools({"a": "TOOL = Tool('plane')"}, {"broken": value})
    with pytest.raises(UsageError) as error:
        list(found)
    assert str(error.value).startswith("the tool 'broken' of ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("h10", "'h100-80gb' or 'h100-nvl'"),  # letter by letter a10 is nearer
        ("H100_80GB", "'h100-80gb'"),
        ("llama3", "'llama-3-8b'"),  # a whole number before a part of one, as in llama-30b
        ("30b", "'llama-30b'"),
        ("l", ""),
        ("rtx", "'rtx-3080', 'rtx-3090' or 'rtx-4080'"),  # and no more
        ("", ""),
        ("-", ""),
        ("x" * 301, ""),
    ],
)
def test_what_a_part_of_a_name_means(name, words):
    known = ["a10", "h100-80gb", "h100-nvl", "llama-30b", "llama-3-8b"]
    known += [f"rtx-{number}" for number in (3080, 3090, 4080, 4090)]
    assert nearest(name, known) == (f" (did you mean {words}?)" if words else "")


def test_nearest_says_nothing_of_what_is_far_away():
    assert nearest("lorra", ["lora", "full-ft"]) == " (did you mean 'lora'?)"
    assert nearest("xyz", ["lora", "full-ft"]) == ""
